// @solana/web3.js 2.x against the local chain: node v2.mjs http://127.0.0.1:8899 ws://127.0.0.1:8900
import assert from "node:assert/strict";
import {
  AccountRole,
  address,
  airdropFactory,
  appendTransactionMessageInstructions,
  createSolanaRpc,
  createSolanaRpcSubscriptions,
  createTransactionMessage,
  generateKeyPairSigner,
  getSignatureFromTransaction,
  lamports,
  pipe,
  sendAndConfirmTransactionFactory,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from "web3-2";

const rpc = createSolanaRpc(process.argv[2]);
const rpcSubscriptions = createSolanaRpcSubscriptions(process.argv[3]);
const payer = await generateKeyPairSigner();
const payee = await generateKeyPairSigner();

await airdropFactory({ rpc, rpcSubscriptions })({
  recipientAddress: payer.address,
  lamports: lamports(10_000_000_000n),
  commitment: "confirmed",
});
assert.equal((await rpc.getBalance(payer.address, { commitment: "confirmed" }).send()).value, 10_000_000_000n);
console.log("airdrop confirmed over the websocket");

const data = new Uint8Array(12);
new DataView(data.buffer).setUint32(0, 2, true);
new DataView(data.buffer).setBigUint64(4, 1_000_000_000n, true);
const pay = {
  programAddress: address("11111111111111111111111111111111"),
  accounts: [
    { address: payer.address, role: AccountRole.WRITABLE_SIGNER, signer: payer },
    { address: payee.address, role: AccountRole.WRITABLE },
  ],
  data,
};
const memo = {
  programAddress: address("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"),
  data: new TextEncoder().encode("order:2"),
};
const { value: latest } = await rpc.getLatestBlockhash({ commitment: "confirmed" }).send();
const signed = await signTransactionMessageWithSigners(
  pipe(
    createTransactionMessage({ version: 0 }),
    (message) => setTransactionMessageFeePayerSigner(payer, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(latest, message),
    (message) => appendTransactionMessageInstructions([pay, memo], message),
  ),
);
await sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions })(signed, { commitment: "finalized" });
const signature = getSignatureFromTransaction(signed);
const shown = await rpc.getTransaction(signature, { encoding: "jsonParsed", maxSupportedTransactionVersion: 0 }).send();
assert.equal(shown.meta.err, null);
assert.equal(shown.transaction.message.instructions[1].parsed, "order:2");
assert.equal((await rpc.getBalance(payee.address).send()).value, 1_000_000_000n);
const rows = await rpc.getSignaturesForAddress(payee.address, { limit: 5 }).send();
assert.deepEqual(rows.map((row) => row.memo), ["[7] order:2"]);
console.log("transfer with memo read back");
console.log("ok");
process.exit(0);
