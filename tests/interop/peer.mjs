// node --import ./node20.mjs peer.mjs guest|host FACTS: visit a Soma node, or be one. FACTS and what is printed are JSON.
import { sha256 } from '@noble/hashes/sha2.js'
import { CHUNK, MAX_MESSAGE, decode, digest, framed, hex, join, manifestOf, message, uint32, unhex } from './language.mjs'
import { Session, identityOf, openHost } from './session.mjs'

const [mode, written] = process.argv.slice(2)
const facts = JSON.parse(written)
const identity = identityOf(unhex(facts.secret), unhex(facts.chain), unhex(facts.protocol))
const say = value => console.log(JSON.stringify(value))
const within = async (seconds, event, what) => await Promise.race([event, new Promise((_resolve, reject) => {
  setTimeout(() => reject(new Error(`${what}: nothing within ${seconds} s`)), seconds * 1000).unref()
})])

async function fetchBlob (session, blob) {
  const { payload } = await session.ask('blobs', 'blob.manifest', { blob })
  if (hex(digest('soma/blob', payload)) !== hex(blob)) throw new Error('N36: another manifest')
  const { size, chunks } = decode(payload)
  const places = [...Array(chunks.length / 32).keys()]
  const came = await Promise.all(places.map(async place => {
    const chunk = (await session.ask('blobs', 'blob.chunk', { blob, place })).payload
    if (hex(digest('soma/chunk', chunk)) !== hex(chunks.slice(32 * place, 32 * place + 32))) throw new Error('N44')
    return chunk
  }))
  const data = join(...came)
  if (data.length !== size) throw new Error('N35: another size')
  return { chunks: came.length, size, sha256: hex(sha256(data)) }
}

// What N53, N1, E4, E5 and N8 forbid, sent on channel blobs.
const good = message({ kind: 'request', id: 1, op: 'blob.manifest', body: { blob: new Uint8Array(32) } })
const BAD = {
  'a length above 2^20': join(uint32(MAX_MESSAGE + 1), new Uint8Array(1000)),
  'a length of 2^32 - 1': uint32(0xffffffff),
  'no message': framed(Uint8Array.of(0, 0, 0, 1)),
  'a map of indefinite length': framed(framed(join(Uint8Array.of(0xbf), good.slice(5), Uint8Array.of(0xff)))),
  // good[8] is the id, 1, in the first byte after its key "id"
  'an id in a longer head': framed(framed(join(good.slice(4, 8), Uint8Array.of(0x18, 1), good.slice(9)))),
  'a payload that is another': framed(join(good.slice(0, -32), new Uint8Array(32)))
}

async function guest (host) {
  const meet = async () => await Session.dial(host, identity, facts.address, unhex(facts.key))
  const session = await meet()
  const hello = await session.greet()
  session.work()
  const report = { hello: { version: hello.version, api: hello.api }, fetched: await fetchBlob(session, unhex(facts.blob)), refused: {}, cut: {} }
  const absent = { blob: new Uint8Array(32) }
  for (const [op, body] of [['blob.manifest', absent], ['blob.manifest', { blob: 'text' }], ['blob.none', {}]]) {
    const { kind, body: fault } = await session.ask('blobs', op, body)
    report.refused[fault.code] = { kind, text: fault.text }
  }
  await within(10, new Promise(resolve => setInterval(() => session.pongs > 1 && resolve(), 100).unref()), 'heartbeats')
  await session.connection.close()
  for (const [name, bytes] of Object.entries(BAD)) {
    const victim = await meet()
    await victim.greet()
    const since = performance.now()
    await victim.channels.blobs.sendRaw(bytes)
    await within(5, victim.ended, name)
    report.cut[name] = (performance.now() - since) / 1000
  }
  const stranger = await meet()
  report.foreign = await stranger.greet({ chain: new Uint8Array(32) }).then(() => 'taken in', error => error.message)
  await within(5, stranger.ended, 'another chain')
  const again = await meet()
  await again.greet()
  again.work()
  report.again = await fetchBlob(again, unhex(facts.blob))
  say(report)
}

async function serve (host) {
  const data = new Uint8Array(facts.size).map((_, place) => place % 251)
  const manifest = manifestOf(data)
  const services = {
    'blob.manifest': () => ({ payload: manifest }),
    'blob.chunk': ({ place }) => ({ payload: data.slice(place * CHUNK, (place + 1) * CHUNK) })
  }
  await Session.listen(host, identity, async session => {
    const { version } = await session.greet()
    session.work(services)
    say({ met: hex(session.key), version })
  })
  say({ address: host.getMultiaddrs()[0].toString(), key: hex(identity.key), blob: hex(digest('soma/blob', manifest)), sha256: hex(sha256(data)) })
  for await (const _ of process.stdin) { /* until it is closed */ }
}

const host = await openHost(mode === 'host' ? ['/ip4/127.0.0.1/tcp/0'] : [])
await (mode === 'host' ? serve : guest)(host)
await host.stop()
process.exit(0)
