"""An audit's values, files, sections and report: whatever it has come to so far, escaped, never without n."""

import json
import re
from dataclasses import replace

import pytest

from results.audit import (
    OUTCOME_FILE,
    Agreement,
    Audit,
    Audited,
    Band,
    Sample,
    Sampled,
    audit_text,
    read_audit,
    read_sample,
    sample_text,
)
from results.audit_figures import audit_sections, correlation_table, scatter, scatter_sections, write_audit_report
from results.estimate import Estimate, RankCorrelation, Undefined
from results.run_dir import create_run
from search_spaces.errors import SpecError

BANDS = (Band(low=0.5, high=1.0), Band(low=1.0, high=2.0))
TAU = Estimate(value=0.512, low=0.31, high=0.69, num=24)
NONE = Undefined(reason="fewer than 3 architectures", num=2)
SURE, UNSURE = (RankCorrelation(kendall=each, spearman=each, num=each.num) for each in (TAU, NONE))


def sampled(name, band):
    genotype = {"head.width": 1.25, "block2.layer1.se": True, "block2.depth": 1, "block2.layer1.kernel": "1x3x3"}
    return Sampled(name=name, band=band, genotype=genotype, fingerprint="<b>" + "0" * 61, cost=2e6, ratio=0.75)


def agreement(band, found):
    names = ("batch", "recalibrated", "batch_one", "recalibrated_one", "ceiling")
    return Agreement(band=band, **dict.fromkeys(names, found))


AUDIT = Audit(
    space="<i>nano",
    target="macs=2M/clip",
    limits=("params=1M",),
    bands=BANDS,
    seeds=(0, 1, 2),
    quality="accuracy",
    num_clips=40,
    architectures=(
        Audited(sampled=sampled("band1-01", 1), batch=0.5, recalibrated=0.25, top1s=(0.25, 0.5, 0.375)),
        Audited(sampled=sampled("band2-01", 2), batch=0.75, recalibrated=0.5, top1s=(0.5, 0.75, 1.0)),
        Audited(sampled=sampled("band2-02", 2), batch=0.75, recalibrated=0.5, top1s=(0.5, None, None)),
    ),
    agreements=(agreement(None, SURE), agreement(1, UNSURE), agreement(2, UNSURE)),
    missing=("band2-02-seed1", "band2-02-seed2"),
)


def test_files_read_back_and_damage_is_told(tmp_path):
    path = tmp_path / OUTCOME_FILE
    path.write_text(audit_text(AUDIT))
    assert read_audit(path) == AUDIT
    sample = Sample(
        space="nano", target="macs=2M/clip", limits=(), bands=BANDS, architectures=(sampled("band1-01", 1),)
    )
    (tmp_path / "sample.json").write_text(sample_text(sample))
    assert read_sample(tmp_path / "sample.json") == sample
    with pytest.raises(SpecError, match="kind: must be 'audit', but got 'audit sample'"):
        read_audit(tmp_path / "sample.json")
    document = json.loads(audit_text(AUDIT))
    document["agreements"][0]["batch"]["kendall"]["num"] = 2
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="at least 3 architectures, but got 2"):
        read_audit(path)
    del document["agreements"][0]["batch"]["kendall"]["num"]
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="num"):
        read_audit(path)
    with pytest.raises(SpecError, match="must"):
        read_audit(tmp_path / "nothing.json")


def test_a_scatter_tells_the_band_by_colour_and_shape_and_the_spread_by_bars():
    figure = scatter(AUDIT.architectures[:2], BANDS, statistics="recalibrated", quality="accuracy")
    first, second = figure.data
    assert (first["name"], second["name"]) == ("cost/target 0.500 to 1.000", "cost/target 1.000 to 2.000")
    assert first["marker"]["color"] != second["marker"]["color"]
    assert first["marker"]["symbol"] != second["marker"]["symbol"]
    assert (second["x"], second["y"]) == ([0.5], [0.75])
    assert (first["y"], first["error_y"]["array"], first["error_y"]["arrayminus"]) == ([0.375], [0.125], [0.125])
    many = tuple(Band(low=float(number), high=number + 1.0) for number in range(1, 9))
    marks = [trace["marker"] for trace in scatter([], many, statistics="batch", quality="accuracy").data]
    assert len({(mark["color"], mark["symbol"]) for mark in marks}) == len({mark["symbol"] for mark in marks}) == 8


def test_sections_have_tau_and_ceiling_and_only_what_is_complete(tmp_path):
    batch, recalibrated = scatter_sections(AUDIT)
    assert "tau 0.51 [0.31, 0.69], n = 24" in batch.note
    assert "ceiling, tau between two trainings, is 0.51 [0.31, 0.69], n = 24" in recalibrated.note
    assert sum(len(trace["x"]) for trace in batch.figures[0].data) == 2
    assert scatter_sections(replace(AUDIT, architectures=AUDIT.architectures[2:])) == []
    assert audit_sections(tmp_path) == []
    (tmp_path / OUTCOME_FILE).write_text(audit_text(AUDIT))
    assert audit_sections(tmp_path) == [batch, recalibrated]
    (tmp_path / OUTCOME_FILE).write_text("{")
    assert audit_sections(tmp_path) == []


def test_every_correlation_of_every_band_has_its_interval_or_its_reason():
    rows = correlation_table(AUDIT).rows
    assert [row[0] for row in rows] == ["all"] * 3 + ["0.500 to 1.000"] * 3 + ["1.000 to 2.000"] * 3
    cells = [cell for row in rows for cell in row[2:] if cell]
    assert len(cells) == 3 * (2 + 2 + 2 + 1 + 1)
    assert set(cells) == {"0.51 [0.31, 0.69], n = 24", "none, n = 2: fewer than 3 architectures"}


@pytest.mark.parametrize("missing", [AUDIT.missing, ()])
def test_the_report_says_what_is_missing_and_escapes(tmp_path, missing):
    run = create_run(tmp_path / "run", kind="audit", files={})
    failed = [("band2-02-seed1", "<b>lost</b>")] if missing else []
    text = write_audit_report(run, replace(AUDIT, missing=missing), failed=failed).read_text()
    assert ("stopped, 2 missing" in text) == bool(missing)
    assert ("&lt;b&gt;lost&lt;/b&gt;" in text) == bool(missing)
    assert "<b>" not in re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert "3 in 2 bands of cost" in text
