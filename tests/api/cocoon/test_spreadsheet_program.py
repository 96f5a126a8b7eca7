"""A real spreadsheet program opens the reports: rows, dates and amounts are what they were, and nothing in them runs."""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from app.wiring import Hub
from tests.api.cocoon.conftest import Person, join
from tests.api.cocoon.test_exports import HEADER
from tests.api.cocoon.test_payouts import record
from tests.factories.missing import go_without

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
OPEN_SECONDS = 120
# Commas and semicolons, double quotes, UTF-8, from the first line, English; text in quotes may be a number, dates are found,
# formulas are evaluated: everything that a careless click would allow.
OPTIONS = "CSV:44/59,34,76,1,,1033,false,true,false,false,0,true"
OFFICE, TABLE, TEXT = (f"{{urn:oasis:names:tc:opendocument:xmlns:{name}:1.0}}" for name in ("office", "table", "text"))
FORMULAS = ("=1+1", "+1+1", "-2+3", "@SUM(1;2)", "\t=1+1", " =1+1", '=HYPERLINK("http://localhost/")', "=cmd|' /C calc'!A0",
            "a;=1+1", 'a","=1+1', "\uff1d1+1", "x\n=1+1")


@pytest.fixture(scope="module")
def program() -> str:
    """Loud where somebody counts on it, a skip with its reason elsewhere."""
    found = shutil.which("soffice")
    if found is None:
        reason = "LibreOffice Calc is not installed, so no spreadsheet program has opened the reports"
        go_without(reason)
    return found


class Cell:
    """What the program made of a field."""

    def __init__(self, element: Any) -> None:
        self.kind = element.get(f"{OFFICE}value-type")
        self.formula = element.get(f"{TABLE}formula")
        self.value = element.get(f"{OFFICE}value") or element.get(f"{OFFICE}date-value")
        self.text = "".join("".join(part.itertext()) for part in element.findall(f"{TEXT}p"))


def opened(program: str, folder: Path, data: bytes) -> list[list[Cell]]:
    """Every row as the program has it; repeated empty cells are counted out."""
    folder.mkdir()
    file = folder / "report.csv"
    file.write_bytes(data)
    profile = f"-env:UserInstallation=file://{folder / 'profile'}"
    quiet, wanted = ["--headless", "--norestore"], ["--convert-to", "fods", "--outdir", str(folder)]
    command = [program, profile, *quiet, f"--infilter={OPTIONS}", *wanted, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=OPEN_SECONDS)
    made = folder / "report.fods"
    assert done.returncode == 0 and made.exists(), done.stdout + done.stderr
    rows = []
    for row in ElementTree.parse(made).iter(f"{TABLE}table-row"):
        cells: list[Cell] = []
        for element in row.findall(f"{TABLE}table-cell"):
            count = int(element.get(f"{TABLE}number-columns-repeated", "1"))
            cells += [Cell(element)] * (count if count < 100 else 0)
        rows.append(cells)
    return [row for row in rows if any(cell.kind for cell in row)]


def test_this_way_of_opening_does_run_formulas(program: str, tmp_path: Path) -> None:
    """Else the tests below would show nothing."""
    ((first, second),) = opened(program, tmp_path / "control", b'=1+1,"=2+2"\r\n')
    assert (first.formula, first.value, second.value) == ("of:=1+1", "2", "4")


def test_the_tax_report(program: str, tmp_path: Path, operator: Person, participant: Person) -> None:
    sums = ("0.000000001", "25.5", "1234567.12345678")  # a spreadsheet keeps 15 digits
    made = [
        record(operator, participant, amount_ton=amount, total_requests=7, transaction_time=f"2025-0{month}-15T10:30:00Z").json
        for month, amount in enumerate(sums, 1)
    ]
    answer = participant.get(f"payouts/export/tax-report?participant_id={participant.id}&year=2025")
    header, *rows = opened(program, tmp_path / "tax", answer.data)
    assert [cell.text for cell in header] == HEADER.split(",")
    assert len(rows) == 3
    for row, payout, amount in zip(rows, made, sums, strict=True):
        assert [cell.formula for cell in row] == [None] * len(row)
        assert (row[0].kind, row[0].value) == ("date", payout["transaction_time"].removesuffix("Z"))
        assert (row[4].kind, float(row[4].value)) == ("float", float(amount)) and float(row[5].value) == 89.25
        texts = [row[column].text for column in (1, 2, 3, 6, 7)]
        expected = [payout["transaction_hash"], str(participant.id), payout["to_address"], payout["from_address"], "No"]
        assert texts == expected and row[9].value == "7"


def test_no_name_runs_in_finances_list(client: FlaskClient, hub: Hub, program: str, tmp_path: Path, operator: Person) -> None:
    for name in FORMULAS:
        assert record(operator, join(client, hub, username=name)).status_code == 201
    header, *rows = opened(program, tmp_path / "finance", operator.get("payouts/export").data)
    column = [cell.text for cell in header].index("Name")
    assert len(rows) == len(FORMULAS)
    assert {len(row) for row in rows} == {len(header)}
    assert [cell.formula for row in rows for cell in row if cell.formula] == []
    assert {row[column].kind for row in rows} == {"string"}
    assert rows[0][column].text.lstrip("'") == "=1+1"
