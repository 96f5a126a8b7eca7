#!/usr/bin/env python3
"""Check a ledger proof without trusting its hub: python3 verify_proof.py PROOF.json [--rpc URL]   (- reads standard input)

PROOF.json is what GET /api/v1/ledger/{entry_id}/proof answered; URL is any JSON-RPC node of the chain that the root is on.
Exit status 0: the leaf is in the tree, and with --rpc also: the tree's root stands on the chain. 1: it is not, and why.
"""
import hashlib
import json
import sys
import urllib.request


def fail(reason):
    sys.exit(f"NOT PROVEN: {reason}")


def expected_sides(index, size):
    sides, last = [], size - 1
    while last > 0:
        if index % 2 or index < last:
            sides.append("left" if index % 2 else "right")
        index, last = index // 2, last // 2
    return sides


def check_path(proof):
    found = hashlib.sha256(b"\0" + proof["leaf"].encode()).digest()
    if found.hex() != proof["leaf_hash"]:
        fail("leaf_hash is not the hash of leaf")
    if json.loads(proof["leaf"])["id"] != proof["entry_id"]:
        fail("the leaf is of another entry")
    index, size, sides = proof["leaf_index"], proof["tree_size"], proof["directions"]
    if not 0 <= index < size or sides != expected_sides(index, size) or len(sides) != len(proof["proof_hashes"]):
        fail("the path does not lead to leaf_index in a tree of tree_size leaves")
    for side, sibling in zip(sides, map(bytes.fromhex, proof["proof_hashes"]), strict=True):
        found = hashlib.sha256(b"\1" + (sibling + found if side == "left" else found + sibling)).digest()
    if found.hex() != proof["merkle_root"]:
        fail("the path does not lead to merkle_root")


def check_chain(proof, url):
    if not proof["anchor_tx_hash"]:
        fail("the root is not on a chain yet")
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getTransactionByHash", "params": [proof["anchor_tx_hash"]]}
    request = urllib.request.Request(url, json.dumps(call).encode(), {"Content-Type": "application/json"})
    found = json.load(urllib.request.urlopen(request, timeout=30)).get("result")
    if not found or not found["blockNumber"] or int(found["blockNumber"], 16) != proof["block_number"]:
        fail(f"no transaction {proof['anchor_tx_hash']} in block {proof['block_number']} of that chain")
    if found["input"] != "0x" + b"LYA1".hex() + proof["tree_size"].to_bytes(8, "big").hex() + proof["merkle_root"]:
        fail("the transaction carries another root or tree size")
    return f"and its root is in block {proof['block_number']}, sent by {found['from']}"


sys.excepthook = lambda kind, error, _: print(f"NOT PROVEN: it can't be read ({error!r})", file=sys.stderr)  # and 1 is the status
if len(sys.argv) not in (2, 4) or len(sys.argv) == 4 and sys.argv[2] != "--rpc":
    sys.exit(__doc__)
proof = json.load(sys.stdin if sys.argv[1] == "-" else open(sys.argv[1], encoding="utf-8"))
check_path(proof)
on_chain = check_chain(proof, sys.argv[3]) if len(sys.argv) == 4 else "(not checked on the chain: give --rpc URL)"
print(f"PROVEN: leaf {proof['leaf_index']} of {proof['tree_size']} is entry {proof['entry_id']}:\n{proof['leaf']}\n{on_chain}")
