// How ton_proofs.json was made, once:
//   npm install @ton/ton@16.3.0 @ton/core@0.63.1 @ton/crypto@3.3.0 && node ton_proofs.js > ton_proofs.json
// Wallets, their initial states and addresses are @ton/ton's, keys and signatures @ton/crypto's. What is signed is put together
// here. `published` is a wallet of the main network whose proof TON Connect's own demonstration backend documents: the signature
// is that wallet's, its key is what its contract answers to get_public_key, and its initial state is @ton/ton's for that key.
const { createHash } = require('crypto');
const ton = require('@ton/ton');
const { beginCell, contractAddress, storeStateInit } = require('@ton/core');
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
const older = ton.WalletContractV2R2.create({ workchain: 0, publicKey: keyPairFromSeed(sha('older')).publicKey });
// A v5r1 whose initial data switch signatures off: its first bit is 0.
const keys = keyPairFromSeed(sha('off'));
const on = ton.WalletContractV5R1.create({ workchain: 0, publicKey: keys.publicKey }).init;
const slice = on.data.beginParse(); slice.loadBit();
const off = { code: on.code, data: beginCell().storeBit(false).storeSlice(slice).endCell() };
const switchedOff = { init: off, address: contractAddress(0, off) };
const published = ton.WalletContractV4.create({ workchain: 0,
  publicKey: Buffer.from('db642e022c80911fe61f19eb4f22d7fb95c1ea0b589c0f74ecf0cbf6db746c13', 'hex') });
console.log(JSON.stringify({
  made_by_ton_js: found,
  published: { address: published.address.toRawString(),
    public_key: 'db642e022c80911fe61f19eb4f22d7fb95c1ea0b589c0f74ecf0cbf6db746c13',
    proof: { timestamp: 1668094767, domain: { lengthBytes: 21, value: 'ton-connect.github.io' },
      signature: '28tWSg8RDB3P/iIYupySINq1o3F5xLodndzNFHOtdi16Z+MuII8LAPnHLT3E6WTB27//qY4psU5Rf5/aJaIIAA==',
      payload: 'E5B4ARS6CdOI2b5e1jz0jnS-x-a3DgfNXprrg_3pec0=', state_init: stateInit(published) } },
  switched_off: { address: switchedOff.address.toRawString(), state_init: stateInit(switchedOff) },
  unknown_code: { address: older.address.toRawString(), state_init: stateInit(older) },
}, null, 1));
