"""The Python of seed.md, word for word, by the heading that it stands under."""

import re
from pathlib import Path

SEED = Path(__file__).parent / "seed.md"


def read() -> dict[str, str]:
    """`Client API/Create Task` and so on to the snippet; headings are those of the second and the last level."""
    found: dict[str, str] = {}
    part, heading = "", ""
    for block in re.split(r"^(#{2,4} .+)$", SEED.read_text(), flags=re.MULTILINE):
        if block.startswith("## "):
            part = heading = block[3:]
        elif block.startswith("#"):
            heading = f"{part}/{block.lstrip('# ')}"
        else:
            for code in re.findall(r"```python\n(.*?)```", block, re.DOTALL):
                assert heading not in found
                found[heading] = code
    return found
