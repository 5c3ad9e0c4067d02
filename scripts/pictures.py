"""Pictures of sections of a run's report, as the documents show them.

    python -m scripts.pictures RUN OUT.png "Reward, quality and cost" "Sampled costs" --width 900 [--dark]

Takes the report that lies in the folder (`movinas report RUN` writes it); sections are named by their headings, and
stand below each other. Needs Debian's packages chromium and chromium-driver.
"""

import argparse
import base64
import io
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome

from scripts.browser import browser, show_as

_MAX_BYTES = 200_000
_FIND = """
const heading = arguments[0];
const found = [...document.querySelectorAll("section")].find((each) => each.firstElementChild.textContent === heading);
if (!found) return null;
const box = found.getBoundingClientRect();
return [box.left + scrollX, box.top + scrollY, box.width, box.height];
"""


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("sections", nargs="+")
    parser.add_argument("--width", type=int, default=900, help="of the page, pixels")
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    with browser() as driver:
        show_as(driver, width_px=options.width, dark=options.dark)
        driver.get((options.run / "report.html").resolve().as_uri())
        parts = [_section(driver, heading) for heading in options.sections]
    picture = Image.new("RGB", (max(part.width for part in parts), sum(part.height for part in parts)))
    top = 0
    for part in parts:
        picture.paste(part, (0, top))
        top += part.height
    options.out.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(128, dither=Image.Dither.NONE).save(options.out, optimize=True)
    if options.out.stat().st_size > _MAX_BYTES:
        raise SystemExit(f"{options.out} must be below {_MAX_BYTES} bytes, but got {options.out.stat().st_size}")


def _section(driver: Chrome, heading: str) -> Image.Image:
    box = driver.execute_script(_FIND, heading)
    if box is None:
        raise SystemExit(f"no section is called {heading!r}")
    clip = dict(zip(("x", "y", "width", "height"), box, strict=True), scale=1)
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")


if __name__ == "__main__":
    main()
