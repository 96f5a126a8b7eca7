"""The relay: sockets of GPU nodes, providers' programs and watchers, what they say, and why they end."""

from grafana_foundation_sdk.models import units

from monitoring.grafana.source import variables
from monitoring.grafana.source.board import Board, Row
from monitoring.grafana.source.expressions import or_zero, own_rate, shared
from monitoring.grafana.source.limits import NEUTRAL, look_above
from monitoring.grafana.source.panels import Panel, figure, lines

INSTANCE = 'instance=~"$instance"'


def board() -> Board:
    """Whether those who need no broker are connected, and heard."""
    about = "Websockets of all APIs: GPU nodes on the relay, providers on /ws, watchers of Cocoon's workers."
    return Board(
        "relay",
        "relay",
        about,
        (Row("Now", now()), Row("Sockets", sockets()), Row("Messages", messages())),
        (variables.instance(),),
    )


def now() -> list[Panel]:
    """Four figures."""
    return [
        figure(
            "Sockets open",
            f"sum(active_websocket_connections{{{INSTANCE}}})",
            "Of all APIs, all processes together.",
            unit=units.Short,
            limits=NEUTRAL,
            width=6,
            alerts=("NoWebSocketConnections",),
        ),
        figure(
            "Nodes on the relay",
            shared('lightyard_relay_connections{endpoint="rendertrust"}'),
            "Sockets of GPU nodes that need no broker.",
            unit=units.Short,
            limits=NEUTRAL,
            width=6,
        ),
        figure(
            "Watchers",
            shared('lightyard_relay_connections{endpoint="watchers"}'),
            "Sockets that watch Cocoon's workers (/ws/metrics).",
            unit=units.Short,
            limits=NEUTRAL,
            width=6,
        ),
        figure(
            "Said and not read",
            f"sum({shared('lightyard_relay_waiting_bytes', 'endpoint')})",
            "Bytes that sockets were told and have not read yet; slow readers are closed.",
            unit=units.BytesIEC,
            limits=look_above(5e7),
            width=6,
            alerts=("RelayReadersAreSlow",),
        ),
    ]


def sockets() -> list[Panel]:
    """Who is connected, and who left."""
    return [
        lines(
            "Sockets",
            {"{{instance}}": f"sum by (instance) (active_websocket_connections{{{INSTANCE}}})"},
            "Open, by address.",
            unit=units.Short,
            stacked=True,
            width=6,
            alerts=("NoWebSocketConnections",),
        ),
        lines(
            "By endpoint",
            {"{{endpoint}}": shared("lightyard_relay_connections", "endpoint")},
            "GPU nodes (rendertrust) and watchers.",
            unit=units.Short,
            stacked=True,
            width=6,
        ),
        lines(
            "Sockets that ended, a minute",
            {
                "{{code}} {{reason}}": or_zero(
                    f"60 * {own_rate(f'lightyard_relay_closes_total{{{INSTANCE}}}', 'code', 'reason')}", "reason"
                )
            },
            "By the code of the close and why: 1000 and 1001 are goodbyes, 4001 a bad token, 1006 a line that broke.",
            unit=units.Short,
            stacked=True,
            width=6,
            alerts=("SocketsAreCutOff",),
        ),
        lines(
            "Said and not read",
            {"{{endpoint}}": shared("lightyard_relay_waiting_bytes", "endpoint")},
            "Bytes that wait for slow readers.",
            unit=units.BytesIEC,
            width=6,
            alerts=("RelayReadersAreSlow",),
        ),
    ]


def messages() -> list[Panel]:
    """What is said."""
    heard, said = (own_rate(f'lightyard_relay_messages_total{{{INSTANCE}, direction="{way}"}}', "type") for way in ("in", "out"))
    return [
        lines(
            "In",
            {"{{type}}": or_zero(heard, "type")},
            "Messages a second that came in, by type.",
            unit=units.MessagesPerSecond,
            width=12,
        ),
        lines(
            "Out",
            {"{{type}}": or_zero(said, "type")},
            "Messages a second that went out, by type.",
            unit=units.MessagesPerSecond,
            width=12,
        ),
    ]
