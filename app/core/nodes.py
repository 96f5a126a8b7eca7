"""Providers and nodes: who sells, which hosts work for them, and whether those are well."""

import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, cast, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from app.core import accounts
from app.core.pricing import Tariff
from app.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated
from app.models.nodes import Node, NodeToken, Provider
from app.values import capabilities, clock, node_keys

TOKEN_HOURS = 24
FAILURES_IN_A_ROW = 3
UNHEALTHY_SECONDS = 300
ENGINES_MOST = 16
METADATA_LIMIT_BYTES, MACHINE_LIMIT_BYTES = 16_384, 131_072  # of JSON


@dataclass(frozen=True, slots=True)
class Registration:
    node_id: uuid.UUID
    token_id: uuid.UUID
    challenge: str
    provider_id: uuid.UUID | None
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class CallingNode:
    """A node that called, with the token it called with: what every request of the node protocol needs to know."""

    id: uuid.UUID
    provider_id: uuid.UUID | None
    is_trusted: bool
    capabilities: list[str]
    public_key: str
    last_heartbeat_at: datetime | None
    unhealthy_until: datetime | None
    token_id: uuid.UUID
    challenge: str
    proven_at: datetime | None
    failures_in_a_row: int
    offered_until: datetime | None
    # Its token is unproven while another one of the node is proven: it may be anybody who knows the public key.
    is_doubtful: bool
    # The operator lets it have nothing new.
    is_drained: bool = False
    memory_bytes: int | None = None
    engines: list[str] | None = None


_CALLER = text("""
SELECT n.id, n.provider_id, n.is_trusted, n.capabilities, n.public_key, n.last_heartbeat_at, n.unhealthy_until,
    t.id, t.challenge, t.proven_at, n.failures_in_a_row, n.offered_until,
    t.proven_at IS NULL AND EXISTS (
        SELECT 1 FROM node_tokens o WHERE o.node_id = n.id AND o.proven_at IS NOT NULL AND o.expires_at > :now),
    n.drained_at IS NOT NULL, n.memory_bytes, n.engines
FROM node_tokens t JOIN nodes n ON n.id = t.node_id WHERE t.id = :token_id AND t.expires_at > :now
""")


def register_provider(session: Session, offer: Mapping[str, Any], tariff: Tariff) -> uuid.UUID:
    """Register a provider; idempotent per (wallet, name), and an existing one is left as it is.

    `offer` holds name, wallet, endpoint and spec as checked by the dialect.
    """
    account_id = accounts.ensure_identity(session, "solana", offer["wallet"], offer["name"])
    row = {
        "id": uuid.uuid4(),
        "account_id": account_id,
        "name": offer["name"],
        "wallet": offer["wallet"],
        "endpoint": offer.get("endpoint"),
        "spec": offer["spec"],
        "registered_at": clock.now(),
        "price_per_frame": tariff.price_per_frame,
        "price_per_second": tariff.price_per_second,
        "price_per_gb": tariff.price_per_gb,
        "minimum_price": tariff.minimum_price,
        "currency": tariff.currency,
    }
    session.execute(insert(Provider).values(row).on_conflict_do_nothing(index_elements=["wallet", "name"]))
    query = select(Provider.id).where(Provider.wallet == offer["wallet"], Provider.name == offer["name"])
    return session.scalars(query).one()


def get_provider(session: Session, provider_id: uuid.UUID) -> Provider:
    provider = session.get(Provider, provider_id)
    if provider is None:
        raise NotFound("Provider not found", code="PROVIDER_NOT_FOUND", details={"provider_id": str(provider_id)})
    return provider


def only_provider(session: Session, account_id: uuid.UUID) -> Provider:
    """The one provider of an account; InvalidInput when it has none, or several to choose from."""
    found = list(session.scalars(select(Provider).where(Provider.account_id == account_id).order_by(Provider.registered_at)))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidInput("this key's account has no provider: register one with POST /provider/register", code="NO_PROVIDER")
    known = ", ".join(f"{provider.id} ({provider.name})" for provider in found[:20])
    raise InvalidInput(f"this key's account has several providers; say which as provider_id: {known}", code="PROVIDER_AMBIGUOUS")


def tariff_of(provider: Provider) -> Tariff:
    return Tariff(
        provider.price_per_frame,
        provider.price_per_second,
        provider.price_per_gb,
        provider.minimum_price,
        provider.currency,
    )


def register(
    session: Session, node: Mapping[str, Any], provider: Provider | None, is_trusted: bool, proof_required: bool = True
) -> Registration:
    """Register a node or find it again by its public key; every registration is a new, unproven token.

    What is told of a known node waits with the token until its challenge is answered, where that is required: a public key is
    no secret. The operator's own word counts at once. Enrolment can be added later but a registration without one never takes
    it away, and only the operator moves a node from one provider to another; Conflict says so.
    """
    owner = provider.account_id if provider else accounts.ensure_identity(session, "node_key", node["public_key"])
    row = {"id": uuid.uuid4(), "account_id": owner, "public_key": node["public_key"], "created_at": clock.now()}
    told: dict[str, Any] = {key: node[key] for key in ("name", "capabilities", "machine", "agent")}
    enrolment: dict[str, Any] = {"provider_id": provider.id, "account_id": owner} if provider else {}
    at_once: dict[str, Any] = {} if proof_required else _described(told)
    if is_trusted or not proof_required:
        at_once |= enrolment
    if is_trusted:
        at_once["is_trusted"] = True
    may_change = _may_enrol(provider.id) if provider is not None and not is_trusted else None
    statement = insert(Node).values(row | _described(told) | enrolment | {"is_trusted": is_trusted})
    changes = at_once or {"public_key": node["public_key"]}  # nothing new, but its row is answered
    found = session.execute(
        statement.on_conflict_do_update(index_elements=["public_key"], set_=changes, where=may_change).returning(
            Node.id, Node.provider_id, Node.is_trusted
        )
    ).one_or_none()
    if found is None:
        raise _taken()
    waits = proof_required and found[0] != row["id"]
    told["provider_id"] = str(provider.id) if provider and not is_trusted else None
    token = NodeToken(
        id=uuid.uuid4(),
        node_id=found[0],
        challenge=secrets.token_hex(32),
        told=told if waits else None,
        expires_at=clock.now() + timedelta(hours=TOKEN_HOURS),
    )
    session.add(token)
    return Registration(found[0], token.id, token.challenge, found[1] or (provider.id if provider else None), found[2])


def _described(told: Mapping[str, Any]) -> dict[str, Any]:
    """What a node said of itself, as columns of its row."""
    words = {key: told[key] for key in ("name", "capabilities", "machine", "agent")}
    found = capabilities.told(told["capabilities"], told["machine"])
    return words | {"capabilities": found} | _means(told["machine"])


def _may_enrol(provider_id: uuid.UUID) -> ColumnElement[bool]:
    return or_(Node.provider_id.is_(None), Node.provider_id == provider_id)


def _taken() -> Conflict:
    return Conflict("this node is enrolled with another provider: give it a new key, or ask the operator", code="NODE_TAKEN")


def gpus_of(machine: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The GPUs that a node says it has; what does not look like one is left out, for a node may say anything."""
    gpus = machine.get("gpus")
    return [gpu for gpu in gpus if isinstance(gpu, dict)] if isinstance(gpus, list) else []


def _means(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that say how much memory a machine has, and its largest GPU, and what it renders with; a node may say anything,
    and whatever makes no sense is not known."""
    gpus, engines = [gpu.get("memory_total_bytes") for gpu in gpus_of(machine)], machine.get("engines")
    is_told = isinstance(engines, list) and len(engines) <= ENGINES_MOST and all(isinstance(name, str) for name in engines)
    return {
        "gpu_memory_bytes": _largest(gpus),
        "memory_bytes": _largest([machine.get("memory_bytes")]),
        "engines": engines if is_told else None,
    }


def _largest(sizes: list[Any]) -> int | None:
    return max((size for size in sizes if type(size) is int and 0 < size < 2**63), default=None)


def authenticate(session: Session, token_id: uuid.UUID) -> CallingNode:
    """The node behind a token; 401 when the token is unknown or over."""
    row = session.execute(_CALLER, {"token_id": token_id, "now": clock.now()}).one_or_none()
    if row is None:
        raise Unauthenticated("this node token is unknown or expired; register again", code="NODE_TOKEN_INVALID")
    return CallingNode(*row)


def prove(session: Session, node: CallingNode, signature: str) -> None:
    """The node answers its token's challenge (base64 over the challenge's text), and what it told with it counts from now on.

    Unauthenticated for a wrong signature; Conflict when it was enrolled with another provider meanwhile.
    """
    if not node_keys.verifies(node.public_key, node.challenge, signature):
        raise Unauthenticated("the signature does not prove this node's key", code="PROOF_INVALID")
    told = session.scalar(select(NodeToken.told).where(NodeToken.id == node.token_id).with_for_update())
    session.execute(update(NodeToken).where(NodeToken.id == node.token_id).values(proven_at=clock.now(), told=None))
    if told is not None:
        _apply(session, node.id, told)


def _apply(session: Session, node_id: uuid.UUID, told: Mapping[str, Any]) -> None:
    changes, statement = _described(told), update(Node).where(Node.id == node_id)
    if told["provider_id"] is not None:
        provider = get_provider(session, uuid.UUID(told["provider_id"]))
        changes |= {"provider_id": provider.id, "account_id": provider.account_id}
        statement = statement.where(_may_enrol(provider.id))
    if session.execute(statement.values(changes).returning(Node.id)).one_or_none() is None:
        raise _taken()


def heartbeat(session: Session, node: CallingNode, report: Mapping[str, Any], proof_required: bool = False) -> str:
    """Note a sign of life; returns the status that it leaves the node in. A load is cut to 0..1; `metadata` is kept beside the
    machine's own figures. Where proof is required, a doubtful caller is heard but changes nothing."""
    now = clock.now()
    if proof_required and node.is_doubtful:
        return _state(node, now)
    changes: dict[str, Any] = {
        "last_heartbeat_at": now,
        "current_load": _share(report.get("current_load")),
        "is_draining": literal(bool(report.get("draining"))) | Node.drained_at.is_not(None),
    }
    if report.get("metadata") is not None:
        changes["machine"] = Node.machine.op("||")(func.jsonb_build_object("metadata", cast(report["metadata"], JSONB)))
    if report.get("machine"):
        changes |= {"machine": report["machine"]} | _means(report["machine"])
        changes |= _new_offers(node, report["machine"])
    session.execute(update(Node).where(Node.id == node.id).values(changes))
    return _state(node, now)


def _new_offers(node: CallingNode, machine: Mapping[str, Any]) -> dict[str, Any]:
    """What a node's `inference` means from now on, where its machine says that anew."""
    known = (capabilities.INFERENCE, *capabilities.PROMPTED)
    if capabilities.OFFERS not in machine or not any(name in known for name in node.capabilities):
        return {}
    others = [name for name in node.capabilities if name not in known]
    found = [*others, *capabilities.of_inference(machine)]
    return {} if sorted(found) == sorted(node.capabilities) else {"capabilities": found}


def _state(node: CallingNode, now: datetime) -> str:
    return "UNHEALTHY" if node.unhealthy_until is not None and node.unhealthy_until > now else "HEALTHY"


def _share(value: Any) -> float:
    """0..1; what is no number is 0."""
    load = float(value or 0.0)
    return min(1.0, max(0.0, load)) if load == load else 0.0


def status(node: CallingNode | Node, silence_seconds: int) -> str:
    """REGISTERED before the first heartbeat, then HEALTHY or UNHEALTHY."""
    if node.last_heartbeat_at is None:
        return "REGISTERED"
    silent = clock.now() - node.last_heartbeat_at > timedelta(seconds=silence_seconds)
    broken = node.unhealthy_until is not None and node.unhealthy_until > clock.now()
    return "UNHEALTHY" if silent or broken else "HEALTHY"


def assert_may_work(node: CallingNode, proof_required: bool, open_nodes: bool) -> None:
    """Trust is checked at the claim: a proven key, and somebody the node is enrolled with."""
    if proof_required and node.proven_at is None:
        raise Forbidden("prove the node's key first: POST /node/v1/proof", code="NODE_UNPROVEN")
    if node.provider_id is None and not node.is_trusted and not open_nodes:
        raise Forbidden("this node is enrolled with nobody; register with a provider's key", code="NODE_NOT_ENROLLED")


def units_at_once(node: CallingNode, wanted: int) -> int:
    """How many units a node may be given: none where the operator drains it, one while its circuit breaker is half open, to see
    whether it is well again."""
    if node.is_drained:
        return 0
    return 1 if node.failures_in_a_row >= FAILURES_IN_A_ROW else wanted


def providers_with_means(session: Session, silence_seconds: int) -> set[uuid.UUID]:
    """Providers that have at least one live node now."""
    since = clock.now() - timedelta(seconds=silence_seconds)
    query = select(Node.provider_id).where(
        Node.provider_id.is_not(None),
        Node.last_heartbeat_at > since,
        ~Node.is_draining,
        or_(Node.unhealthy_until.is_(None), Node.unhealthy_until < clock.now()),
    )
    return {found for found in session.scalars(query) if found is not None}


def set_tariff(provider: Provider, tariff: Tariff) -> None:
    """New prices; quotes made before keep theirs."""
    provider.price_per_frame = tariff.price_per_frame
    provider.price_per_second = tariff.price_per_second
    provider.price_per_gb = tariff.price_per_gb
    provider.minimum_price = tariff.minimum_price


def count_failure(session: Session, node_id: uuid.UUID) -> None:
    """Three failures in a row make a node UNHEALTHY for a while (its circuit breaker); afterwards the first one does again,
    until a success ends the row."""
    node = session.scalars(select(Node).where(Node.id == node_id).with_for_update()).one()
    node.failures_in_a_row += 1
    if node.failures_in_a_row >= FAILURES_IN_A_ROW:
        node.unhealthy_until = clock.now() + timedelta(seconds=UNHEALTHY_SECONDS)
