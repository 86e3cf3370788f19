// Soma's network language, written from specs/01, 02 and 50 alone: a peer that shares no line with the Python ones.
import { schnorr } from '@noble/curves/secp256k1.js'
import { blake2b } from '@noble/hashes/blake2.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { byteStream } from '@libp2p/utils'
import * as cbor from 'cborg'
import { randomBytes } from 'node:crypto'

export const MAX_MESSAGE = 1 << 20
const text = written => new TextEncoder().encode(written)
export const join = (...parts) => Uint8Array.from(Buffer.concat(parts))
export const hex = bytes => Buffer.from(bytes).toString('hex')
export const unhex = written => Uint8Array.from(Buffer.from(written, 'hex'))
const equal = (one, other) => Buffer.compare(one, other) === 0
const demand = (holds, what) => { if (!holds) throw new Error(what) }
export const uint32 = number => { const bytes = new Uint8Array(4); new DataView(bytes.buffer).setUint32(0, number); return bytes }
const lengthIn = bytes => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)

// 01: the one encoding
export const encode = value => cbor.encode(value, cbor.rfc8949EncodeOptions)
export function decode (bytes) {
  const value = cbor.decode(bytes, { strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true })
  demand(equal(encode(value), bytes), 'E1: not the one encoding')
  return value
}

// 02: digests and signatures
export const digest = (tag, ...parts) =>
  blake2b(join(...parts), { dkLen: 32, personalization: join(text(tag), new Uint8Array(16 - tag.length)) })
export const signed = (chain, body) => digest('soma/hello', chain, new Uint8Array(8), body) // S5, in epoch 0

// 50, N53: messages behind their length
export const framed = message => join(uint32(message.length), message)
export class Channel {
  constructor (stream) { this.bytes = byteStream(stream, { maxBufferSize: 4 * MAX_MESSAGE }) }
  async sendRaw (bytes) { await this.bytes.write(bytes) }
  async send (message) { await this.sendRaw(framed(message)) }
  async receive (size) {
    const length = lengthIn((await this.bytes.read({ bytes: 4 })).slice())
    demand(length > 0 && (size === undefined ? length <= MAX_MESSAGE : length === size), `N53: ${length} bytes announced`)
    return (await this.bytes.read({ bytes: length })).slice()
  }
}

// 50, N54: what is signed. A side is { words: nonce and Soma key, id: the bytes of its libp2p peer id }.
const side = ({ words, id }) => join(words, sha256(id))
export const challengeOf = (role, dialled, accepted) =>
  join(text('soma/libp2p/1'), Uint8Array.of(role), side(dialled), side(accepted))

// 50, N54: both sides prove their Soma keys. `expected` is the key that was dialled; without it we are the ones dialled.
// Gives the key that the other side has proved.
export async function prove (channel, identity, connection, ownId, expected) {
  const us = { words: join(randomBytes(32), identity.key), id: ownId.toMultihash().bytes }
  const them = { id: connection.remotePeer.toMultihash().bytes }
  const hear = async () => {
    const frame = await channel.receive(65)
    demand(frame[0] === 1, `N55: version ${frame[0]}`)
    them.words = frame.slice(1)
  }
  const dialled = expected !== undefined
  const challenge = role => signed(identity.chain, challengeOf(role, ...(dialled ? [us, them] : [them, us])))
  const check = async role => demand(
    schnorr.verify(await channel.receive(64), challenge(role), them.words.slice(32)), 'N55: not the holder of the key')
  const sign = async role => await channel.send(schnorr.sign(challenge(role), identity.secret))
  if (dialled) {
    await channel.send(join(Uint8Array.of(1), us.words))
    await hear()
    demand(equal(them.words.slice(32), expected), 'N55: another key than the one dialled')
    await sign(0)
    await check(1)
  } else {
    await hear()
    await channel.send(join(Uint8Array.of(1), us.words))
    await check(0)
    await sign(1)
  }
  return them.words.slice(32)
}

// 50, N1 to N8: what a message is
export function message ({ kind, id = 0, op = '', body = {}, payload = new Uint8Array() }) {
  const header = encode({ kind, id, op, body, size: payload.length, digest: digest('soma/payload', payload) })
  return join(uint32(header.length), header, payload)
}
// Kind → whether its id counts (null: as it likes), and whether it has an operation, a body, a payload.
const KINDS = {
  hello: [false, false, true, false],
  request: [true, true, true, true],
  reply: [true, false, true, true],
  error: [null, false, true, false],
  note: [false, true, true, true],
  ping: [true, false, false, false],
  pong: [true, false, false, false]
}
const isUint = number => typeof number === 'bigint' ? number < 1n << 63n : Number.isInteger(number) && number >= 0
const isMap = value => typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

export function parse (bytes) {
  demand(bytes.length > 4 && bytes.length <= MAX_MESSAGE, 'N1: no message')
  const length = lengthIn(bytes)
  demand(length > 0 && length <= 8192 && 4 + length <= bytes.length, 'N1: header length')
  const header = decode(bytes.slice(4, 4 + length))
  demand(isMap(header) && Object.keys(header).sort().join() === 'body,digest,id,kind,op,size', 'N2: fields')
  const { kind, id, op, body, size } = header
  demand(isUint(id) && isUint(size) && isMap(body) && typeof op === 'string' && op.length <= 32, 'N2: kinds of fields')
  demand(typeof kind === 'string' && Object.hasOwn(KINDS, kind), 'N3: kind')
  const [numbered, operates, speaks, carries] = KINDS[kind]
  demand(numbered === null || numbered === id > 0, 'N4: id')
  demand(operates ? /^[a-z]+(\.[a-z]+)+$/.test(op) : op === '', 'N5: operation')
  demand(speaks || Object.keys(body).length === 0, 'N6: body')
  const payload = bytes.slice(4 + length)
  demand(size === payload.length && (carries || size === 0), 'N7: size')
  demand(header.digest instanceof Uint8Array && equal(header.digest, digest('soma/payload', payload)), 'N8: digest')
  return { ...header, payload }
}

// 50, N34 to N36: blobs
export const CHUNK = 262144
export function manifestOf (data) {
  const pieces = []
  for (let at = 0; at < data.length; at += CHUNK) pieces.push(digest('soma/chunk', data.slice(at, at + CHUNK)))
  return encode({ size: data.length, chunks: join(...pieces) })
}
