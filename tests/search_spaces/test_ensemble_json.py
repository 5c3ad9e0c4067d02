import copy
import dataclasses
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import specs

from search_spaces.ensemble import EnsembleMember, EnsembleSpec, temporal_ensemble
from search_spaces.ensemble_json import (
    ensemble_fingerprint,
    json_schema,
    make_ensemble_file,
    parse_ensemble,
    read_ensemble,
    read_spec_or_ensemble,
    write_ensemble,
)
from search_spaces.errors import SpecError
from search_spaces.movinet import NANO
from search_spaces.published import published, published_ensemble
from search_spaces.randomness import generator
from search_spaces.spec_json import Provenance, make_spec_file, write_spec
from search_spaces.strict_json import canonical, essence, pretty
from search_spaces.variant import VARIANTS, Variant

BASE = Variant()
VARIANT = st.sampled_from(tuple(VARIANTS.values()))
NANO_SPEC = NANO.decode(NANO.sample(generator(0, "ensemble")), BASE).spec
NANO_ENSEMBLE = temporal_ensemble(NANO_SPEC, BASE)
A0_ENSEMBLE = temporal_ensemble(published("A0"), BASE)
A0_FINGERPRINT = "d0c15f6712c420e2bc71cea76af669a94068611f257c961e242a1dfd0ccfc9f2"


def document(ensemble_file):
    return json.loads(canonical(dataclasses.asdict(ensemble_file)))


def members():
    return st.builds(EnsembleMember, arch=specs(), variant=VARIANT, offset_frames=st.floats(0.0, 1.0, exclude_max=True))


def ensembles():
    return st.builds(EnsembleSpec, members=st.lists(members(), min_size=2, max_size=4).map(tuple))


def test_golden_fingerprint():
    # SHA-256 of the canonical text below: a change of the form would rename every file of today
    (first, _) = A0_ENSEMBLE.members
    arch = canonical(essence(first.arch))
    assert '"clip":{"num_frames":25,"rate_fps":2.5,"resolution":172}' in arch
    text = f'{{"members":[{{"arch":{arch},"variant":{{}}}},{{"arch":{arch},"offset_frames":0.5,"variant":{{}}}}]}}'
    assert ensemble_fingerprint(A0_ENSEMBLE) == hashlib.sha256(text.encode()).hexdigest()
    assert ensemble_fingerprint(A0_ENSEMBLE) == A0_FINGERPRINT


def test_the_fingerprint_is_of_the_ensemble_alone():
    bare = make_ensemble_file(NANO_ENSEMBLE)
    full = make_ensemble_file(NANO_ENSEMBLE, models=("a", "b"), provenance=Provenance(origin="mine"))
    assert bare.fingerprint == full.fingerprint
    first, second = NANO_ENSEMBLE.members
    others = [
        EnsembleSpec(members=(second, first)),
        EnsembleSpec(members=(first, first)),
        EnsembleSpec(members=(first, second, second)),
        EnsembleSpec(members=(first, dataclasses.replace(second, variant=VARIANTS["paper-stream"]))),
        EnsembleSpec(members=(first, dataclasses.replace(second, arch=NANO_SPEC))),
    ]
    assert len({bare.fingerprint, *map(ensemble_fingerprint, others)}) == 6


@settings(max_examples=40, deadline=None)
@given(ensembles(), st.booleans())
def test_any_ensemble_survives_a_file(tmp_path_factory, ensemble, trained):
    models = [f"runs/{number}/model" for number in range(len(ensemble.members))] if trained else None
    written = make_ensemble_file(ensemble, models=models, provenance=Provenance(origin="test"))
    folder = tmp_path_factory.mktemp("ensembles")
    path = write_ensemble(written, folder)
    assert path.name == f"{ensemble_fingerprint(ensemble)}.json"
    assert read_ensemble(path) == read_spec_or_ensemble(path) == written
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_the_file_says_first_what_people_look_for(tmp_path):
    path = write_ensemble(make_ensemble_file(A0_ENSEMBLE, models=("../a", "../b")), tmp_path)
    lines = path.read_text().splitlines()
    assert lines[1:3] == ['  "schema": 1,', '  "kind": "movinas.ensemble",']
    assert lines[4:9] == ['  "models": [', '    "../a",', '    "../b"', "  ],", '  "ensemble": {']


def test_defaults_may_be_left_out():
    found = document(make_ensemble_file(A0_ENSEMBLE))
    del found["models"], found["provenance"]
    del found["ensemble"]["aggregation"], found["ensemble"]["members"][0]["offset_frames"]
    assert parse_ensemble(found) == make_ensemble_file(A0_ENSEMBLE)


def test_the_kind_decides_what_a_file_is(tmp_path):
    spec_file = make_spec_file(published("A0"), BASE)
    assert read_spec_or_ensemble(write_spec(spec_file, tmp_path)) == spec_file
    path = tmp_path / "other.json"
    for text in ('{"kind": "movinas.space"}', "[]"):
        path.write_text(text)
        with pytest.raises(SpecError, match=r"other\.json: (kind: must be 'movinas\.spec'|must be an object)"):
            read_spec_or_ensemble(path)


def put(*where, value):
    """An edit that sets one field."""

    def edit(found):
        for part in where[:-1]:
            found = found[part]
        found[where[-1]] = value

    return edit


def drop(*where):
    def edit(found):
        for part in where[:-1]:
            found = found[part]
        del found[where[-1]]

    return edit


SECOND = ("ensemble", "members", 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("kind", value="movinas.spec"), r"^kind: must be 'movinas\.ensemble', but got 'movinas\.spec'$"),
        (put("schema", value=2), r"^schema: must be 1, but got 2$"),
        (drop("schema"), r"^schema: must be 1, but got None$"),
        (put("fingerprint", value="0" * 64), r"^fingerprint: must be that of ensemble, \w{64}, but got '0000"),
        (drop("fingerprint"), r"^fingerprint: must be given, but is missing$"),
        (put(*SECOND, "offset_frames", value=0.25), r"^fingerprint: must be that of ensemble, "),
        (put(*SECOND, "arch", "stem_width", value=24), r"^fingerprint: must be that of ensemble, "),
        (
            put(*SECOND, "offset_frames", value=1.0),
            r"^ensemble\.members\[1\]\.offset_frames: must be in \[0, 1\), but got 1\.0$",
        ),
        (put(*SECOND, "offset_frames", value="0.5"), r"^ensemble\.members\[1\]\.offset_frames: .* valid number, but"),
        (put(*SECOND, "offset_frames", value=True), r"^ensemble\.members\[1\]\.offset_frames: .* valid number, but"),
        (put(*SECOND, "offset_s", value=0.1), r"^ensemble\.members\[1\]\.offset_s: must be a known field"),
        (put(*SECOND, "weight", value=0.5), r"^ensemble\.members\[1\]\.weight: must be a known field"),
        (drop(*SECOND, "variant"), r"^ensemble\.members\[1\]\.variant: must be given, but is missing$"),
        (
            put(*SECOND, "arch", "blocks", 3, "layers", 1, "width", value=0),
            r"^ensemble\.members\[1\]\.arch\.blocks\[3\]\.layers\[1\]\.width: must be in \[1, 16384\], but got 0$",
        ),
        (
            put(*SECOND, "variant", "gate", value="tanh"),
            r"^ensemble\.members\[1\]\.variant\.gate: input should be 'sigmoid', ",
        ),
        (drop(*SECOND), r"^ensemble\.members: must be 2 to 16 members, but got 1$"),
        (put("ensemble", "members", value=[]), r"^ensemble\.members: must be 2 to 16 members, but got 0$"),
        (put("ensemble", "members", value={}), r"^ensemble\.members: input should be a valid array, but got \{\}$"),
        (put(*SECOND, value=None), r"^ensemble\.members\[1\]: input should be an object, but got None$"),
        (
            put("ensemble", "aggregation", value="mean_probabilities"),
            r"^ensemble\.aggregation: input should be 'mean_logits', but got 'mean_probabilities'$",
        ),
        (drop("ensemble"), r"^ensemble: must be given, but is missing$"),
        (put("models", value=["a"]), r"^models: must be one folder per member, 2, but got 1$"),
        (put("models", value=[]), r"^models: must be one folder per member, 2, but got 0$"),
        (put("models", value=["a", "b", "c"]), r"^models: must be one folder per member, 2, but got 3$"),
        (put("models", value=["a", 7]), r"^models\[1\]: input should be a valid string, but got 7$"),
        (put("models", value=["a", ""]), r"^models\[1\]: must be a folder, but got ''$"),
        (put("models", value=["a\0b", "b"]), r"^models\[0\]: must be a folder, but got 'a\\x00b'$"),
        (put("models", value="a"), r"^models: input should be a valid array, but got 'a'$"),
        (put("metrics", value={}), r"^metrics: must be a known field, but got an unknown one$"),
        (put("provenance", "host", value="mine"), r"^provenance\.host: must be a known field"),
    ],
)
def test_a_bad_document_is_refused_with_its_place(edit, message):
    found = document(make_ensemble_file(A0_ENSEMBLE))
    edit(found)
    with pytest.raises(SpecError, match=message) as caught:
        parse_ensemble(found)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_errors_of_a_file_name_it(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(SpecError, match=r"a\.json: must be a readable file, but got No such file or directory$"):
        read_ensemble(path)
    path.write_text("[[")
    with pytest.raises(SpecError, match=r"a\.json: a document must be JSON, but got "):
        read_spec_or_ensemble(path)
    write_spec(make_spec_file(published("A0"), BASE), tmp_path).rename(path)
    with pytest.raises(SpecError, match=r"a\.json: kind: must be 'movinas\.ensemble', but got 'movinas\.spec'$"):
        read_ensemble(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-2, 2) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value, where=()):
    """Where every field and item of a document is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*where, name)
        yield from places(item, (*where, name))


WHOLE = document(make_ensemble_file(NANO_ENSEMBLE, models=("a", "b"), provenance=Provenance(origin="test")))
PLACES = sorted(places(WHOLE), key=str)


def read_or_refused(read, source):
    """What was read, or None; any error but a SpecError of one line fails the test that asks."""
    try:
        return read(source)
    except SpecError as error:
        return None if "\n" not in str(error) else error


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), VALUES, st.sampled_from(("put", "drop", "add")))
def test_any_change_of_a_document_is_read_or_refused(where, value, how):
    found = copy.deepcopy(WHOLE)
    holder = found
    for part in where[:-1]:
        holder = holder[part]
    if how == "put":
        holder[where[-1]] = value
    elif how == "drop":
        del holder[where[-1]]
    elif isinstance(holder, list):
        holder.append(value)
    else:
        holder[str(value)] = value
    ensemble_file = read_or_refused(parse_ensemble, found)
    assert ensemble_file is None or ensemble_file.ensemble == NANO_ENSEMBLE


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_damage_of_a_file_is_read_or_refused(tmp_path_factory, data):
    text = bytearray(pretty(WHOLE).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 6))] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"[", b"}", b"-", b"e9", b"0", b"\\u"])
        )
    path = tmp_path_factory.getbasetemp() / "damaged_ensemble.json"
    path.write_bytes(text)
    ensemble_file = read_or_refused(read_ensemble, path)
    assert ensemble_file is None or ensemble_file.ensemble == NANO_ENSEMBLE


def test_the_json_schema_describes_the_files():
    schema = json_schema()
    assert set(schema["required"]) == {"schema", "kind", "fingerprint", "ensemble"}
    assert schema["additionalProperties"] is False
    member = schema["$defs"]["EnsembleMember"]
    assert set(member["required"]) == {"arch", "variant"}
    assert member["additionalProperties"] is False


def test_the_published_ensemble_survives_a_file(tmp_path):
    a6 = make_ensemble_file(published_ensemble("A6", BASE))
    assert read_ensemble(write_ensemble(a6, tmp_path)) == a6
