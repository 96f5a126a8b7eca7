"""RFC 6962 trees: known answers of Certificate Transparency's own test vectors, every proof to 130 leaves, and no false ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.values import merkle
from app.values.merkle import Step

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = """
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d
fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125
aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77
d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7
4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4
76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef
ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c
5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328
""".split()
MOST = 130
HASHES = [merkle.leaf_hash(number.to_bytes(2, "big")) for number in range(MOST + 1)]


@pytest.mark.parametrize("size", range(9))
def test_the_root_is_the_known_one(size: int) -> None:
    assert merkle.root([merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


def mth(hashes: list[bytes]) -> bytes:
    """The RFC's own recursive definition, as slow and as plain as it is written there."""
    if len(hashes) == 1:
        return hashes[0]
    split = 1 << (len(hashes) - 1).bit_length() - 1
    return merkle.node_hash(mth(hashes[:split]), mth(hashes[split:]))


def test_every_tree_and_proof_to_130_leaves_is_the_rfcs() -> None:
    for size in range(1, MOST + 1):
        hashes = HASHES[:size]
        root = merkle.root(hashes)
        assert root == mth(hashes)
        for index, leaf in enumerate(hashes):
            steps = merkle.path(hashes, index)
            assert [step.side for step in steps] == merkle.sides(index, size)
            assert merkle.is_included(leaf, index, size, steps, root)


def test_no_proof_is_taken_for_that_of_another_leaf_place_or_tree() -> None:
    for size in range(1, 34):
        hashes = HASHES[:size]
        root, others = merkle.root(hashes), {merkle.root(HASHES[:other]) for other in range(1, 34) if other != size}
        for index, leaf in enumerate(hashes):
            steps = merkle.path(hashes, index)
            assert not any(merkle.is_included(leaf, other, size, steps, root) for other in range(size) if other != index)
            assert not any(merkle.is_included(other, index, size, steps, root) for other in HASHES if other != leaf)
            assert not any(merkle.is_included(leaf, index, size, steps, other) for other in others)
            assert not merkle.is_included(leaf, index, size, [*steps, Step(leaf, "left")], root)
            assert not merkle.is_included(leaf, -1, size, steps, root) and not merkle.is_included(leaf, size, size, steps, root)
            for level in range(len(steps)):
                assert not merkle.is_included(leaf, index, size, steps[:level] + steps[level + 1 :], root)
                side = "left" if steps[level].side == "right" else "right"
                turned = [*steps[:level], Step(steps[level].sibling, side), *steps[level + 1 :]]
                assert not merkle.is_included(leaf, index, size, turned, root)


@given(size=st.integers(1, MOST), data=st.data())
@settings(max_examples=300, deadline=None)
def test_one_changed_bit_anywhere_breaks_a_proof(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    steps, root = merkle.path(HASHES[:size], index), merkle.root(HASHES[:size])
    pieces = [HASHES[index], root, *(step.sibling for step in steps)]
    piece, bit = data.draw(st.integers(0, len(pieces) - 1)), data.draw(st.integers(0, 255))
    pieces[piece] = (int.from_bytes(pieces[piece], "big") ^ 1 << bit).to_bytes(32, "big")
    changed = [Step(sibling, step.side) for sibling, step in zip(pieces[2:], steps, strict=True)]
    assert not merkle.is_included(pieces[0], index, size, changed, pieces[1])


def test_a_doubled_last_leaf_makes_another_tree() -> None:
    for size in range(1, MOST, 2):
        assert merkle.root(HASHES[:size]) != merkle.root([*HASHES[:size], HASHES[size - 1]])


def test_a_node_is_never_a_leaf() -> None:
    """Without their prefixes, two leaves side by side could be shown as one."""
    left, right = HASHES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)


def test_there_is_no_proof_of_a_leaf_that_is_not_there() -> None:
    for index in (-1, 3):
        with pytest.raises(IndexError):
            merkle.path(HASHES[:3], index)
