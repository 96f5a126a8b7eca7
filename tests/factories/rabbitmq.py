"""A real RabbitMQ with its management plugin, on ports and in a folder of its own, run by whoever runs the tests."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from app.stack.ports import free_port
from tests.factories.stacks import wait_until

SCRIPTS = Path("/usr/lib/rabbitmq/bin")  # Debian's wrappers in the path insist on the user `rabbitmq`
READY_SECONDS = 120
CONFIGURATION = """
listeners.tcp.default = 127.0.0.1:{port}
listeners.ssl.1 = 127.0.0.1:{tls_port}
listeners.ssl.2 = 127.0.0.2:{tls_port}
ssl_options.certfile = {folder}/certificate.pem
ssl_options.keyfile = {folder}/key.pem
ssl_options.cacertfile = {folder}/certificate.pem
ssl_options.verify = verify_none
management.tcp.ip = 127.0.0.1
management.tcp.port = {api_port}
management.rates_mode = none
default_user = {user}
default_pass = {password}
loopback_users = none
disk_free_limit.absolute = 50MB
{extra}
"""


def missing() -> str | None:
    """Why no RabbitMQ can be had here."""
    if not (SCRIPTS / "rabbitmq-server").exists() or shutil.which("epmd") is None:
        return "rabbitmq-server is not installed"
    return None if shutil.which("openssl") else "openssl is not installed: no certificate can be made"


def make_certificate(folder: Path) -> None:
    """For 127.0.0.1 alone, signed by itself."""
    subject = ["-subj", "/CN=test broker", "-addext", "subjectAltName=IP:127.0.0.1"]
    algorithm = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run(["openssl", "req", "-x509", *algorithm, *subject, *files], check=True, capture_output=True, timeout=30)


class RabbitMQ:
    """`start` returns once it takes connections; `kill` and `start` again keep what it stored; `stop` leaves no process."""

    user, password = "hub", "of-this-test-alone"

    def __init__(self, folder: Path, **extra: str) -> None:
        """`extra` are more lines of its configuration: `prometheus__tcp__port="15692"`."""
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._epmd: subprocess.Popen[bytes] | None = None  # knows where the node listens; as the node's child it would outlive it
        self.port, self.tls_port, self.api_port, self._epmd_port, distribution = (free_port() for _ in range(5))
        self.url = f"amqp://{self.user}:{self.password}@127.0.0.1:{self.port}//"
        self.api_url = f"http://{self.user}:{self.password}@127.0.0.1:{self.api_port}"
        self.public_url, self.certificate = f"amqps://127.0.0.1:{self.tls_port}", folder / "certificate.pem"
        make_certificate(folder)
        ports = {"port": self.port, "tls_port": self.tls_port, "api_port": self.api_port}
        lines = "\n".join(f"{name.replace('__', '.')} = {value}" for name, value in extra.items())
        text = CONFIGURATION.format(folder=folder, user=self.user, password=self.password, extra=lines, **ports)
        (folder / "rabbitmq.conf").write_text(text)
        (folder / "plugins").write_text("[rabbitmq_management].\n")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"test{self.port}@localhost",
            "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.api_port}/api", auth=(self.user, self.password), timeout=20)

    def start(self) -> "RabbitMQ":
        if self._epmd is None:
            self._epmd = subprocess.Popen(["epmd"], env=self.environment)
        with (self.folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SCRIPTS / "rabbitmq-server"], env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._is_ready, f"RabbitMQ answers; see {self.folder}", READY_SECONDS)
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "output.log").read_text()[-2000:]
        try:
            return self.http.get("/health/checks/virtual-hosts").status_code == 200
        except httpx.TransportError:
            return False

    def _signal(self, number: int) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """As a machine that loses its power."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(20)

    def freeze(self) -> None:
        """Its connections stay, and nobody answers on them."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(20)
        self.http.close()

    def control(self, *arguments: str) -> str:
        """`rabbitmqctl`."""
        command = [SCRIPTS / "rabbitmqctl", "--quiet", *arguments]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True, timeout=60).stdout

    def set_memory_alarm(self, is_on: bool) -> None:
        self.control("set_vm_memory_high_watermark", "0" if is_on else "0.8")

    def queue(self, name: str, vhost: str) -> dict[str, Any]:
        return self.http.get(f"/queues/{quote(vhost, safe='')}/{quote(name, safe='')}").raise_for_status().json()

    def delete_queue(self, name: str, vhost: str) -> None:
        self.http.delete(f"/queues/{quote(vhost, safe='')}/{quote(name, safe='')}").raise_for_status()
