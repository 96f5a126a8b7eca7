// @ton/ton's TonClient against the local TON: node client.mjs http://127.0.0.1:8902
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { Address, beginCell, comment, external, internal, SendMode, storeMessage, toNano } from "@ton/core";
import { keyPairFromSeed } from "@ton/crypto";
import { JettonMaster, TonClient, WalletContractV4, WalletContractV5R1 } from "@ton/ton";

const url = process.argv[2];
const client = new TonClient({ endpoint: `${url}/api/v2/jsonRPC` });

async function dev(method, body = {}) {
  const answer = await (await fetch(`${url}/dev/${method}`, { method: "POST", body: JSON.stringify(body) })).json();
  assert.equal(answer.ok, true, answer.error);
  return answer.result;
}

async function until(holds, what) {
  for (let turn = 0; turn < 400; turn++) {
    const found = await holds();
    if (found) return found;
    await pause(50);
  }
  assert.fail(`never: ${what}`);
}

const give = async (address, amount) => {
  await dev("faucet", { address: address.toString(), amount: amount.toString() });
  await until(async () => (await client.getBalance(address)) >= amount, "the faucet's money");
};

async function payAndRead(name, wallet, keys) {
  const opened = client.open(wallet);
  await give(wallet.address, toNano("5"));
  assert.equal(await client.isContractDeployed(wallet.address), false);
  const payee = WalletContractV4.create({ workchain: 0, publicKey: keyPairFromSeed(Buffer.alloc(32, name)).publicKey }).address;
  const order = { secretKey: keys.secretKey, sendMode: SendMode.PAY_GAS_SEPARATELY, timeout: Math.floor(Date.now() / 1000) + 60 };
  const message = (value, text) => internal({ to: payee, value: toNano(value), bounce: false, body: comment(text) });

  const first = await opened.createTransfer({ ...order, seqno: 0, messages: [message("1", `first of ${name}`)] });
  await opened.send(first);
  await until(async () => (await client.isContractDeployed(wallet.address)) && (await opened.getSeqno()) === 1, `${name} deployed`);
  await assert.rejects(opened.send(first), /500/, "a replay is refused");
  const late = { ...order, timeout: 1_000_000_000 };
  await assert.rejects(async () => opened.send(await opened.createTransfer({ ...late, seqno: 1, messages: [message("1", "late")] })), /500/);

  const body = await opened.createTransfer({ ...order, seqno: 1, messages: [message("0.5", "second"), message("0.25", "third")] });
  const fees = await client.estimateExternalMessageFee(wallet.address, { body, initCode: null, initData: null, ignoreSignature: true });
  assert.ok(fees.source_fees.gas_fee > 0 && fees.source_fees.in_fwd_fee > 0);
  await opened.send(body);
  await until(async () => (await client.getBalance(payee)) > toNano("1.7499"), `${name} paid`); // storage costs a few nanotons
  assert.equal(await opened.getSeqno(), 2);

  const got = await client.getTransactions(payee, { limit: 10 });
  const texts = got.map((it) => it.inMessage.body.beginParse().skip(32).loadStringTail());
  assert.deepEqual(texts, ["third", "second", `first of ${name}`]);
  assert.ok(got.every((it) => it.inMessage.info.src.equals(wallet.address) && it.description.type === "generic"));
  got.slice(0, -1).forEach((it, at) => {
    assert.equal(it.prevTransactionLt, got[at + 1].lt);
    assert.equal(it.prevTransactionHash, BigInt(`0x${got[at + 1].hash().toString("hex")}`));
  });
  const second = got[1];
  const again = await client.getTransaction(payee, second.lt.toString(), second.hash().toString("base64"));
  assert.equal(again.hash().toString("hex"), second.hash().toString("hex"));
  const rest = await client.getTransactions(payee, { limit: 10, lt: second.lt.toString(), hash: second.hash().toString("base64") });
  assert.deepEqual(rest.map((it) => it.lt), [got[2].lt]);
}

const keys = keyPairFromSeed(Buffer.alloc(32, 7));
const v4 = WalletContractV4.create({ workchain: 0, publicKey: keys.publicKey });
await payAndRead("v4r2", v4, keys);
await payAndRead("v5r1", WalletContractV5R1.create({ workchain: 0, publicKey: keys.publicKey }), keys);

// a jetton, by TEP-74
const { USDT } = await dev("jettons");
const master = client.open(JettonMaster.create(Address.parse(USDT.master)));
const [mine, theirs] = [v4.address, Address.parse((await dev("wallet", { name: "payee" })).address)];
await dev("mint", { address: mine.toString(), amount: 5_000_000 });
const [myTokens, theirTokens] = [await master.getWalletAddress(mine), await master.getWalletAddress(theirs)];
assert.equal(myTokens.toString(), (await dev("jetton_wallet", { address: mine.toString() })).wallet);
const balance = async (wallet) => (await client.isContractDeployed(wallet)) && (await client.runMethod(wallet, "get_wallet_data")).stack.readBigNumber();
await until(async () => (await balance(myTokens)) === 5_000_000n, "minted");
assert.equal((await master.getJettonData()).totalSupply, 5_000_000n);
const forward = beginCell().storeUint(0, 32).storeStringTail("invoice 9").endCell();
const transfer = beginCell().storeUint(0x0f8a7ea5, 32).storeUint(1, 64).storeCoins(1_200_000n).storeAddress(theirs).storeAddress(mine);
const body = transfer.storeBit(false).storeCoins(toNano("0.01")).storeBit(true).storeRef(forward).endCell();
const wallet = client.open(v4);
await wallet.sendTransfer({ seqno: 2, secretKey: keys.secretKey, sendMode: 1, messages: [internal({ to: myTokens, value: toNano("0.2"), body })] });
await until(async () => (await balance(theirTokens)) === 1_200_000n, "tokens paid");
const told = await until(async () => (await client.getTransactions(theirs, { limit: 1 }))[0], "the payee told");
const note = told.inMessage.body.beginParse();
assert.equal(note.loadUint(32), 0x7362d09c);
note.skip(64);
assert.equal(note.loadCoins(), 1_200_000n);
assert.ok(note.loadAddress().equals(mine));
assert.equal(note.loadBit() && note.loadRef().beginParse().skip(32).loadStringTail(), "invoice 9");

// what is no message, and to whom nobody answers
const nobody = external({ to: Address.parseRaw(`0:${"12".repeat(32)}`), body: beginCell().endCell() });
await assert.rejects(client.sendFile(beginCell().store(storeMessage(nobody)).endCell().toBoc()), /500/);
await assert.rejects(client.sendFile(Buffer.from("no bag of cells")), /500/);
assert.ok((await client.getMasterchainInfo()).latestSeqno > 3);
assert.equal((await client.runMethodWithError(theirs, "seqno")).exit_code, -13);
console.log("ok");
