// npm install @ton/ton@16.3.0 @ton/core@0.63.1 @ton/crypto@3.3.0; node vectors.js > ton_proofs.json
// Wallets, their initial states and addresses are made by @ton/ton, keys and signatures by @ton/crypto.
const { createHash } = require('crypto');
const ton = require('@ton/ton');
const { beginCell, storeStateInit } = require('@ton/core');
const { keyPairFromSeed, sign } = require('@ton/crypto');

const sha = (data) => createHash('sha256').update(data).digest();
const le = (bytes, value) => { const b = Buffer.alloc(bytes); b.writeUIntLE(value, 0, Math.min(bytes, 6)); return b; };
const stateInit = (wallet, options) => beginCell().store(storeStateInit(wallet.init)).endCell().toBoc(options).toString('base64');

function proofOf(wallet, keys, domain, timestamp, payload, options) {
  const wc = Buffer.alloc(4); wc.writeInt32BE(wallet.address.workChain);
  const item = Buffer.concat([Buffer.from('ton-proof-item-v2/'), wc, wallet.address.hash,
    le(4, Buffer.byteLength(domain)), Buffer.from(domain), le(8, timestamp), Buffer.from(payload)]);
  const signed = sha(Buffer.concat([Buffer.from([0xff, 0xff]), Buffer.from('ton-connect'), sha(item)]));
  return { timestamp, domain: { lengthBytes: Buffer.byteLength(domain), value: domain },
    signature: sign(signed, keys.secretKey).toString('base64'), payload, state_init: stateInit(wallet, options) };
}

const found = [];
const versions = { v3r2: ton.WalletContractV3R2, v4r2: ton.WalletContractV4, v5r1: ton.WalletContractV5R1 };
for (const [version, Contract] of Object.entries(versions)) {
  for (const [workchain, domain, options] of [[0, 'localhost', { idx: false, crc32: true }],
                                              [-1, 'bücher.example', { idx: true, crc32: false }]]) {
    const keys = keyPairFromSeed(sha(`lightyard test wallet ${version} ${workchain}`));
    const wallet = Contract.create({ workchain, publicKey: keys.publicKey });
    found.push({ version, address: wallet.address.toRawString(), friendly: wallet.address.toString({ bounceable: false }),
      public_key: keys.publicKey.toString('hex'), seed: sha(`lightyard test wallet ${version} ${workchain}`).toString('hex'),
      proof: proofOf(wallet, keys, domain, 1790000000, 'a challenge of 43 characters, or of any length', options) });
  }
}
const beta = ton.WalletContractV5Beta.create({ workchain: 0, publicKey: keyPairFromSeed(sha('beta')).publicKey });
const published = ton.WalletContractV4.create({ workchain: 0,
  publicKey: Buffer.from('db642e022c80911fe61f19eb4f22d7fb95c1ea0b589c0f74ecf0cbf6db746c13', 'hex') });
console.log(JSON.stringify({
  made_by: found,
  published: { address: published.address.toRawString(), state_init: stateInit(published) },
  unknown_code: { address: beta.address.toRawString(), state_init: stateInit(beta) },
}, null, 1));
