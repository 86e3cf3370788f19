// node --import ./node20.mjs vectors.mjs: hold language.mjs against specs/vectors. Prints how many cases it took.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { schnorr } from '@noble/curves/secp256k1.js'
import { challengeOf, digest, hex, join, manifestOf, message, parse, signed, unhex } from './language.mjs'

const load = name => JSON.parse(readFileSync(new URL(`../../specs/vectors/${name}`, import.meta.url), 'utf8'))
const net = load('net.json')
const blobs = load('blobs.json').blobs

// The notation of specs/README.md
function value (written) {
  if (written === null || typeof written === 'boolean') return written
  const [[kind, inner]] = Object.entries(written)
  return {
    int: () => Number.isSafeInteger(Number(inner)) ? Number(inner) : BigInt(inner),
    bytes: () => unhex(inner),
    text: () => inner,
    array: () => inner.map(value),
    map: () => Object.fromEntries(inner.map(([key, item]) => [value(key), value(item)]))
  }[kind]()
}

for (const { name, kind, id, op, body, payload, bytes } of net.messages) {
  const exact = name === 'an empty reply' ? (1n << 63n) - 1n : id // JSON.parse rounds what is beyond 2^53
  const made = message({ kind, id: exact, op, body: value(body), payload: unhex(payload) })
  assert.equal(hex(made), bytes, name)
  assert.deepEqual(parse(made).body, value(body), name)
}
for (const { name, bytes } of net.invalid_messages) assert.throws(() => parse(unhex(bytes)), /^Error: /, name)
for (const { name, unit, times, manifest, digest: named } of blobs) {
  const data = Buffer.alloc(unit.length / 2 * times, unhex(unit))
  assert.equal(hex(manifestOf(data)), manifest, name)
  assert.equal(hex(digest('soma/blob', unhex(manifest))), named, name)
}
for (const { name, chain, dialled, accepted, challenges, signatures } of net.proofs) {
  const sides = [dialled, accepted].map(({ nonce, key, peer_id: id }) => ({ words: join(unhex(nonce), unhex(key)), id: unhex(id) }))
  for (const role of [0, 1]) {
    const challenge = challengeOf(role, ...sides)
    assert.equal(hex(challenge), challenges[role], name)
    assert(schnorr.verify(unhex(signatures[role]), signed(unhex(chain), challenge), sides[role].words.slice(32)), name)
  }
}
console.log(net.messages.length + net.invalid_messages.length + blobs.length + net.proofs.length)
