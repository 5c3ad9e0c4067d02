"""Reports as a reader has them: opened by Chromium, on a large screen and on a phone, light and dark.

Debian's packages chromium and chromium-driver are installed by `.ci/run`, which also demands that these tests run.
"""

import json
import os

import made_runs
import pytest
from program import SEARCH, TARGET
from test_page import EVIL
from test_report import TEST

from launch.cli import main
from results.retrain_report import write_retrain_report
from results.run_dir import create_run
from results.sweep_report import write_family_report, write_scaling_report
from results.telemetry import Telemetry
from scripts.browser import browser, missing, show_as

pytestmark = pytest.mark.timeout(1800)
DEMANDED = "MOVINAS_BROWSER_TESTS"

PLOTS = """
const MARKS = [
  ".scatterlayer .trace path", ".scatterlayer .trace use", ".barlayer .point path", ".heatmaplayer image",
].join(", ");
return JSON.parse(document.getElementById("figures").textContent).map((figure) => {
  const place = document.getElementById("figure-" + figure.name);
  const seen = [...place.querySelectorAll(MARKS)].filter((each) => each.getBoundingClientRect().width > 0);
  return {
    name: figure.name,
    height: place.getBoundingClientRect().height,
    marks: seen.length,
    filled: place.data.some((trace) => (trace.z || trace.y).flat().some((value) => value !== null)),
  };
});
"""
SLIDE = """
const slider = document.querySelector("input[type=range]");
if (arguments[0] !== null) {
  slider.value = arguments[0];
  slider.dispatchEvent(new Event("input"));
}
return {
  position: slider.value,
  text: slider.closest("section").querySelector("output").textContent,
  probabilities: document.getElementById("figure-policy-kernel").data[0].z,
};
"""
BRIGHTNESS = """
const done = arguments[arguments.length - 1];
const brightness = (colour) => {
  const probe = document.createElement("i");
  probe.style.color = colour;
  document.body.append(probe);
  const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
  probe.remove();
  return (parts[0] + parts[1] + parts[2]) / 765;
};
requestAnimationFrame(() => requestAnimationFrame(() => {  // what has changed is told with the next frame
  const papers = [...document.querySelectorAll(".js-plotly-plot")].map((plot) => plot._fullLayout.paper_bgcolor);
  done([getComputedStyle(document.body).backgroundColor, ...papers].map(brightness));
}));
"""


@pytest.fixture(scope="module")
def driver():
    """Chromium, once for all pages."""
    if missing():
        reason = f"{' and '.join(missing())} of Debian's packages chromium and chromium-driver must be on the path"
        if os.environ.get(DEMANDED):
            pytest.fail(reason)
        pytest.skip(reason)
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def evil_run(tmp_path_factory, motion_manifest):
    """The folder of a real search over videos one of whose classes has the name of a script."""
    folder = tmp_path_factory.mktemp("evil")
    header, *items = motion_manifest.read_text().splitlines()
    header = json.loads(header)
    header["class_names"] = [EVIL, *header["class_names"][1:]]
    manifest = motion_manifest.with_name("evil.jsonl")
    manifest.write_text("\n".join([json.dumps(header), *items]) + "\n")
    arguments = [f"--data={manifest}", f"--target={TARGET}", f"--out={folder / 'run'}", *SEARCH]
    assert main(["search", "--space=nano", *arguments]) == 0
    return folder / "run"


def open_page(driver, path, *, width_px=1200, dark=False):
    show_as(driver, width_px=width_px, dark=dark)
    driver.get(path.as_uri())
    assert driver.get_log("browser") == []


def check_plots(driver, names):
    plots = driver.execute_script(PLOTS)
    assert [plot["name"] for plot in plots] == names
    for plot in plots:
        assert plot["height"] > 50, plot
        assert plot["marks"] > 0, plot
        assert plot["filled"], plot


def check_width(driver, width_px):
    root = "document.documentElement"
    assert driver.execute_script(f"return [{root}.scrollWidth, {root}.clientWidth]") == [width_px, width_px]


def test_the_report_of_a_real_search(driver, evil_run):
    open_page(driver, evil_run / "report.html")
    policies = [f"policy-{attribute}" for attribute in ("depth", "width", "kernel", "expansion", "se")]
    names = ["curves", "sampled", "entropy", "decisions", *policies, "comparison", "comparison-state", "training"]
    check_plots(driver, [*names, "strip", "time"])
    assert driver.execute_script("return document.querySelectorAll('svg.drawing rect').length") > 5

    # a name is a text, and no script but ours is there or has run
    assert EVIL in driver.execute_script("return document.body.textContent")
    assert driver.execute_script("return document.scripts.length") == 3

    # the slider
    at_end = driver.execute_script(SLIDE, None)
    at_start = driver.execute_script(SLIDE, 0)
    assert (at_start["text"], at_end["text"]) == ("step 0", "step 7")
    assert at_start["position"] == "0"
    assert at_start["probabilities"] != at_end["probabilities"]
    column = [row[0] for row in at_start["probabilities"] if row[0] is not None]
    assert sum(column) == pytest.approx(1, abs=1e-3)

    # light and dark: as the reader's system has it, until the switch says otherwise
    assert min(driver.execute_async_script(BRIGHTNESS)) > 0.8
    show_as(driver, width_px=1200, dark=True)
    assert max(driver.execute_async_script(BRIGHTNESS)) < 0.2
    driver.execute_script("document.getElementById('scheme').click()")
    assert min(driver.execute_async_script(BRIGHTNESS)) > 0.8
    show_as(driver, width_px=1200, dark=False)
    driver.execute_script("document.getElementById('scheme').click()")
    assert max(driver.execute_async_script(BRIGHTNESS)) < 0.2

    # a phone
    show_as(driver, width_px=390, dark=False)
    check_width(driver, 390)
    check_plots(driver, [*names, "strip", "time"])
    assert driver.get_log("browser") == []


def test_the_report_of_a_retraining(driver, tmp_path):
    run = made_runs.make_run(tmp_path / "run", made_runs.epochs(6), kind="retrain")
    run.test_path.write_text(json.dumps(TEST))
    telemetry = Telemetry(run.telemetry_path)
    for step in range(20):
        telemetry.append("phase_times", step=step, seconds={"data": 0.1, "train": 0.3})
    open_page(driver, write_retrain_report(run), width_px=390, dark=True)
    check_plots(driver, ["epochs", "confusion", "strip", "time"])
    check_width(driver, 390)
    labels = driver.execute_script("return document.getElementById('figure-confusion').textContent")
    assert EVIL in labels


def test_the_reports_of_sweeps(driver, tmp_path):
    from test_sweep_report import CANDIDATE, COEFFICIENTS, FAMILY

    family = create_run(tmp_path / "family", kind="family", files={})
    open_page(driver, write_family_report(family, FAMILY), width_px=390)
    check_plots(driver, ["front-macs", "front-state_bytes", "members"])
    check_width(driver, 390)
    scaling = create_run(tmp_path / "scaling", kind="scaling", files={})
    average = {**COEFFICIENTS, "growth": 3.9}
    document = {"space": "a2", "candidates": [CANDIDATE], "top": 1, "average": average, "missing": [], "failed": {}}
    open_page(driver, write_scaling_report(scaling, document), width_px=390)
    check_plots(driver, ["scaling"])
    check_width(driver, 390)
