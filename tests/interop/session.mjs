// One connection of a Soma peer on js-libp2p, from the socket to its end. specs/50-network.md, N9 to N30 and N51 to N56.
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { schnorr } from '@noble/curves/secp256k1.js'
import { createLibp2p } from 'libp2p'
import { Channel, message, parse, prove } from './language.mjs'

const CHANNELS = ['sync', 'consensus', 'blobs', 'hints']
const protocol = name => `/soma/${name}/1`

export const openHost = async (listen = []) => await createLibp2p({
  addresses: { listen }, transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()]
})

// Who we are, and on which network: the same for every connection.
export const identityOf = (secret, chain, protocol) => ({ secret, key: schnorr.getPublicKey(secret), chain, protocol })

export class Session {
  constructor (identity, connection) {
    Object.assign(this, { identity, connection, channels: {}, asked: 0, waiting: new Map(), pings: 0, pongs: 0 })
    this.ended = new Promise(resolve => connection.addEventListener('close', resolve))
  }

  static async dial (host, identity, address, key) {
    const session = new Session(identity, await host.dial(multiaddr(address)))
    for (const name of CHANNELS) {
      session.channels[name] = new Channel(await session.connection.newStream(protocol(name)))
      if (name === 'sync') await prove(session.channels.sync, identity, session.connection, host.peerId, key)
    }
    return session
  }

  // Calls `arrived` with a session for every peer that dials us and proves a key.
  static async listen (host, identity, arrived) {
    const opening = new WeakMap()
    for (const name of CHANNELS) {
      await host.handle(protocol(name), async (stream, connection) => {
        if (!opening.has(connection)) opening.set(connection, new Session(identity, connection))
        const session = opening.get(connection)
        session.channels[name] = new Channel(stream)
        try {
          if (name === 'sync') session.key = await prove(session.channels.sync, identity, connection, host.peerId)
          if (session.key !== undefined && Object.keys(session.channels).length === CHANNELS.length) await arrived(session)
        } catch (error) {
          connection.abort(error)
        }
      })
    }
  }

  // N9 to N13: gives the peer's hello, or throws what differs.
  async greet (changes = {}) {
    const ours = { chain: this.identity.chain, protocol: this.identity.protocol, version: 'js', api: 1, roles: [], addresses: [] }
    await this.channels.sync.send(message({ kind: 'hello', body: { ...ours, ...changes } }))
    const { kind, body } = parse(await this.channels.sync.receive())
    if (kind !== 'hello') throw new Error(kind === 'error' ? `${body.code}: ${body.text}` : `a ${kind}, not a hello`)
    for (const field of ['api', 'chain', 'protocol']) {
      if (String(body[field]) !== String({ ...ours, ...changes }[field])) throw new Error(`another ${field}`)
    }
    return body
  }

  // Work until the end: answer heartbeats and requests, send heartbeats. `services`: operation → (body, payload) → reply.
  work (services = {}) {
    for (const name of CHANNELS) this.#read(name, services).catch(error => this.connection.abort(error))
    const beat = setInterval(() => this.#say('sync', { kind: 'ping', id: ++this.pings }), 1500)
    this.ended.then(() => clearInterval(beat))
  }

  // N14: the answer, a reply or an error.
  async ask (channel, op, body) {
    const id = ++this.asked
    const answer = new Promise(resolve => this.waiting.set(id, resolve))
    await this.#say(channel, { kind: 'request', id, op, body })
    return await Promise.race([answer, this.ended.then(() => { throw new Error('the connection ended') })])
  }

  async #say (channel, fields) { await this.channels[channel].send(message(fields)).catch(() => {}) }

  async #read (channel, services) {
    for (;;) {
      const heard = parse(await this.channels[channel].receive())
      if (heard.kind === 'ping') await this.#say('sync', { kind: 'pong', id: heard.id })
      else if (heard.kind === 'pong') this.pongs = heard.id
      else if (heard.kind === 'request') {
        const service = services[heard.op]
        const fault = { kind: 'error', body: { code: 'unknown', text: `no ${heard.op} here`, remedy: 'ask another peer' } }
        await this.#say(channel, { id: heard.id, ...(service ? { kind: 'reply', ...service(heard.body) } : fault) })
      } else if (heard.kind === 'reply' || heard.kind === 'error') this.waiting.get(heard.id)?.(heard)
    }
  }
}
