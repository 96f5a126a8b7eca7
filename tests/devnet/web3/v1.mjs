// @solana/web3.js 1.x and @solana/spl-token against the local chain: node v1.mjs http://127.0.0.1:8899
import assert from "node:assert/strict";
import {
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  SendTransactionError,
  SystemProgram,
  Transaction,
  TransactionInstruction,
  TransactionMessage,
  VersionedTransaction,
  sendAndConfirmTransaction,
} from "@solana/web3.js";
import {
  createMint,
  getAccount,
  getMint,
  getOrCreateAssociatedTokenAccount,
  mintTo,
  transferChecked,
} from "@solana/spl-token";

const MEMO = new PublicKey("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr");
const connection = new Connection(process.argv[2], "confirmed");
const memo = (text) => new TransactionInstruction({ keys: [], programId: MEMO, data: Buffer.from(text) });

const payer = Keypair.generate();
const payee = Keypair.generate().publicKey;

const airdrop = await connection.requestAirdrop(payer.publicKey, 10 * LAMPORTS_PER_SOL);
const latest = await connection.getLatestBlockhash();
const funded = await connection.confirmTransaction({ signature: airdrop, ...latest }, "confirmed");
assert.equal(funded.value.err, null);
assert.equal(await connection.getBalance(payer.publicKey), 10 * LAMPORTS_PER_SOL);
console.log("airdrop confirmed over the websocket");

const pay = SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: payee, lamports: LAMPORTS_PER_SOL });
const heard = new Promise((resolve) => connection.onAccountChange(payee, resolve, "confirmed"));
const signature = await sendAndConfirmTransaction(connection, new Transaction().add(pay, memo("order:1")), [payer]);
assert.equal(await connection.getBalance(payee), LAMPORTS_PER_SOL);
assert.equal((await heard).lamports, LAMPORTS_PER_SOL);
await connection.confirmTransaction(signature, "finalized");
const parsed = await connection.getParsedTransaction(signature, { maxSupportedTransactionVersion: 0, commitment: "finalized" });
assert.equal(parsed.meta.err, null);
assert.equal(parsed.meta.fee, 5000);
assert.deepEqual(parsed.transaction.message.instructions.map((item) => item.program), ["system", "spl-memo"]);
assert.equal(parsed.transaction.message.instructions[0].parsed.info.lamports, LAMPORTS_PER_SOL);
assert.equal(parsed.transaction.message.instructions[1].parsed, "order:1");
const plain = await connection.getTransaction(signature, { maxSupportedTransactionVersion: 0 });
assert.ok(plain.transaction.message.staticAccountKeys.some((key) => key.equals(payee)));
const rows = await connection.getSignaturesForAddress(payee);
assert.deepEqual(rows.map((row) => [row.signature, row.memo, row.err]), [[signature, "[7] order:1", null]]);
const statuses = await connection.getSignatureStatuses([signature], { searchTransactionHistory: true });
assert.equal(statuses.value[0].confirmationStatus, "finalized");
console.log("transfer with memo read back");

const blockhash = await connection.getLatestBlockhash();
const versioned = new VersionedTransaction(
  new TransactionMessage({ payerKey: payer.publicKey, recentBlockhash: blockhash.blockhash, instructions: [pay] }).compileToV0Message(),
);
assert.equal((await connection.getFeeForMessage(versioned.message)).value, 5000);
versioned.sign([payer]);
assert.equal((await connection.simulateTransaction(versioned, { sigVerify: true })).value.err, null);
const second = await connection.sendTransaction(versioned);
assert.equal((await connection.confirmTransaction({ signature: second, ...blockhash })).value.err, null);
assert.equal((await connection.getTransaction(second, { maxSupportedTransactionVersion: 0 })).version, 0);
await assert.rejects(connection.getTransaction(second), /maxSupportedTransactionVersion/);
console.log("versioned transaction confirmed");

const tooMuch = SystemProgram.transfer({ fromPubkey: payer.publicKey, toPubkey: payee, lamports: 1000 * LAMPORTS_PER_SOL });
await assert.rejects(
  sendAndConfirmTransaction(connection, new Transaction().add(tooMuch), [payer]),
  (error) => error instanceof SendTransactionError && error.logs.some((line) => line.includes("insufficient lamports")),
);
const failed = await connection.sendTransaction(new Transaction().add(tooMuch), [payer], { skipPreflight: true });
// web3.js 1.x answers a failure heard over the websocket, and throws the same error if its one poll finds it first.
const verdict = await connection
  .confirmTransaction({ signature: failed, ...(await connection.getLatestBlockhash()) })
  .then((answer) => answer.value.err, (error) => error);
assert.deepEqual(verdict, { InstructionError: [0, { Custom: 1 }] });
console.log("failures are told");

const mint = await createMint(connection, payer, payer.publicKey, null, 6);
const mine = await getOrCreateAssociatedTokenAccount(connection, payer, mint, payer.publicKey);
const theirs = await getOrCreateAssociatedTokenAccount(connection, payer, mint, payee);
await mintTo(connection, payer, mint, mine.address, payer, 5_000_000n);
const moved = await transferChecked(connection, payer, mine.address, mint, theirs.address, payer, 1_250_000n, 6);
assert.equal((await getAccount(connection, theirs.address)).amount, 1_250_000n);
assert.equal((await getMint(connection, mint)).supply, 5_000_000n);
assert.equal((await connection.getTokenAccountBalance(mine.address)).value.uiAmountString, "3.75");
const owned = await connection.getParsedTokenAccountsByOwner(payee, { mint });
assert.equal(owned.value[0].account.data.parsed.info.tokenAmount.amount, "1250000");
const tokens = await connection.getParsedTransaction(moved, { maxSupportedTransactionVersion: 0 });
assert.equal(tokens.transaction.message.instructions[0].parsed.type, "transferChecked");
assert.equal(tokens.meta.postTokenBalances.length, 2);
console.log("token minted and paid");
console.log("ok");
process.exit(0);
