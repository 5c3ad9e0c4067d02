import copy
import dataclasses
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spaces import specs

from search_spaces.errors import MovinasError, SpecError
from search_spaces.movinet import NANO
from search_spaces.published import published
from search_spaces.randomness import generator
from search_spaces.spec_json import (
    Provenance,
    fingerprint,
    json_schema,
    make_spec_file,
    parse_spec,
    read_spec,
    write_spec,
)
from search_spaces.strict_json import MAX_BYTES, canonical, essence, pretty
from search_spaces.variant import Variant

BASE = Variant()
HARD = Variant(activation="hard_swish", gate="hard_sigmoid")
A0 = published("A0")
A0_FINGERPRINT = "72020deca57a86d4aabba9c33677afa987c148369131bacf9349233abbf52832"
PROVENANCE = Provenance(space="nano", space_hash="ab" * 32, run="first", seed=3, step=99, target="macs=6M/clip")


def nano_file():
    candidate = NANO.decode(NANO.sample(generator(0, "spec")), HARD)
    return make_spec_file(
        candidate.spec,
        candidate.variant,
        genotype=candidate.genotype,
        provenance=PROVENANCE,
        metrics={"quality": 0.75, "macs": 6e6},
    )


def document(spec_file):
    return json.loads(canonical(dataclasses.asdict(spec_file)))


def test_golden_fingerprint():
    # SHA-256 of the canonical text below: a change of the form would rename every file of today
    text = canonical({"arch": essence(A0), "variant": {}})
    assert text.startswith('{"arch":{"blocks":[{"layers":[{"expansion":24,"kernel":[1,5,5],"stride":2,"width":8}]')
    assert text.endswith(
        '"clip":{"num_frames":50,"rate_fps":5.0,"resolution":172},"head_width":480,"stem_width":8},"variant":{}}'
    )
    assert hashlib.sha256(text.encode()).hexdigest() == A0_FINGERPRINT
    assert fingerprint(A0, BASE) == A0_FINGERPRINT
    assert fingerprint(A0, HARD) == "b9d7480f670a15321a26025eedeedaa6c50329018f74817e501473fc4f5becd3"


def test_the_fingerprint_is_of_arch_and_variant_alone():
    bare, full = make_spec_file(A0, BASE), make_spec_file(A0, BASE, provenance=PROVENANCE, metrics={"top1": 0.5})
    assert bare.fingerprint == full.fingerprint == A0_FINGERPRINT
    others = [
        fingerprint(dataclasses.replace(A0, stem_width=16), BASE),
        fingerprint(dataclasses.replace(A0, clip=dataclasses.replace(A0.clip, rate_fps=6.0)), BASE),
        fingerprint(A0, Variant(gate="hard_sigmoid")),
        fingerprint(A0, Variant(activation="hard_swish")),
    ]
    assert len({*others, bare.fingerprint}) == 5


def test_a_switch_at_its_default_is_not_in_the_fingerprint():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Later:
        """A variant of a later version, with one switch more."""

        activation: str = "swish"
        gate: str = "sigmoid"
        pooling: str = "mean"

    assert fingerprint(A0, Later()) == A0_FINGERPRINT
    assert fingerprint(A0, Later(gate="hard_sigmoid")) == fingerprint(A0, Variant(gate="hard_sigmoid"))
    assert fingerprint(A0, Later(pooling="max")) != A0_FINGERPRINT


def test_whole_frame_rates_have_one_fingerprint():
    whole = dataclasses.replace(A0, clip=dataclasses.replace(A0.clip, rate_fps=5))
    assert fingerprint(whole, BASE) == A0_FINGERPRINT


@settings(max_examples=60)
@given(specs(), st.sampled_from((BASE, HARD)))
def test_any_spec_survives_a_file(tmp_path_factory, spec, variant):
    written = make_spec_file(spec, variant, provenance=PROVENANCE, metrics={"quality": 0.1})
    folder = tmp_path_factory.mktemp("specs")
    path = write_spec(written, folder)
    assert path.name == f"{fingerprint(spec, variant)}.json"
    assert read_spec(path) == written
    assert [entry.name for entry in folder.iterdir()] == [path.name]


def test_genotypes_keep_their_types():
    written = nano_file()
    again = parse_spec(document(written))
    assert again == written
    kinds = {name: type(choice) for name, choice in again.genotype.items()}
    assert kinds["block2.depth"] is int
    assert kinds["block2.width"] is float
    assert kinds["block2.layer1.kernel"] is str
    assert kinds["block2.layer1.se"] is bool
    assert NANO.decode(again.genotype, again.variant).fingerprint == again.fingerprint


def test_defaults_may_be_left_out():
    found = document(make_spec_file(A0, BASE))
    for name in ("genotype", "provenance", "metrics"):
        del found[name]
    found["variant"] = {}
    for block in found["arch"]["blocks"]:
        for layer in block["layers"]:
            del layer["se"]
    assert parse_spec(found) == make_spec_file(A0, BASE)


def test_the_file_is_readable_and_whole_numbers_may_stand_for_rates(tmp_path):
    path = write_spec(make_spec_file(A0, BASE), tmp_path / "new" / "specs")
    text = path.read_text()
    assert text.startswith('{\n  "schema": 1,\n  "kind": "movinas.spec",\n  "fingerprint": "72020dec')
    path.write_text(text.replace('"rate_fps": 5.0', '"rate_fps": 5'))
    assert read_spec(path).arch == A0


def test_writing_again_replaces_the_file(tmp_path):
    first = write_spec(make_spec_file(A0, BASE), tmp_path)
    second = write_spec(make_spec_file(A0, BASE, metrics={"top1": 0.5}), tmp_path)
    assert first == second
    assert read_spec(second).metrics == {"top1": 0.5}


def test_a_folder_that_cannot_be_written_is_an_error_and_stays_as_it_was(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SpecError, match=r"72020d\w+\.json: must be a writable file, but got File exists$"):
        write_spec(make_spec_file(A0, BASE), tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / f"{A0_FINGERPRINT}.json").mkdir()
    with pytest.raises(SpecError, match=r"72020d\w+\.json: must be a writable file, but got Is a directory$"):
        write_spec(make_spec_file(A0, BASE), tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f"{A0_FINGERPRINT}.json", "file"]


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


LAYER = ("arch", "blocks", 3, "layers", 1)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put("kind", value="movinas.space"), r"^kind: must be 'movinas.spec', but got 'movinas.space'$"),
        (put("kind", value=["x" * 500]), r"^kind: must be 'movinas.spec', but got \['x{75}\.\.\.$"),
        (drop("kind"), r"^kind: must be 'movinas.spec', but got None$"),
        (put("schema", value=2), r"^schema: must be 1, but got 2$"),
        (put("schema", value="1"), r"^schema: must be 1, but got '1'$"),
        (put("schema", value=True), r"^schema: must be 1, but got True$"),
        (put("schema", value=1.0), r"^schema: must be 1, but got 1.0$"),
        (drop("schema"), r"^schema: must be 1, but got None$"),
        (
            put("fingerprint", value="0" * 64),
            rf"^fingerprint: must be that of arch and variant, {A0_FINGERPRINT}, but got '0",
        ),
        (put("fingerprint", value=A0_FINGERPRINT.upper()), r"^fingerprint: must be that of arch and variant, 72020d"),
        (put("fingerprint", value=7), r"^fingerprint: input should be a valid string, but got 7$"),
        (put("arch", "stem_width", value=16), r"^fingerprint: must be that of arch and variant, \w+, but got '72020d"),
        (put("variant", "gate", value="hard_sigmoid"), r"^fingerprint: must be that of arch and variant, "),
        (put("note", value="mine"), r"^note: must be a known field, but got an unknown one$"),
        (put(*LAYER, "krenel", value=[3, 3, 3]), r"^arch\.blocks\[3\]\.layers\[1\]\.krenel: must be a known field"),
        (put(*LAYER, "a\nb", value=1), r"^arch\.blocks\[3\]\.layers\[1\]\['a\\nb'\]: must be a known field"),
        (put("x" * 99, value=1), r"^\['x{76}\.\.\.\]: must be a known field"),
        (put("variant", "colour", value=True), r"^variant\.colour: must be a known field, but got an unknown one$"),
        (put("provenance", "host", value="mine"), r"^provenance\.host: must be a known field"),
        (drop("arch"), r"^arch: must be given, but is missing$"),
        (drop("variant"), r"^variant: must be given, but is missing$"),
        (drop("fingerprint"), r"^fingerprint: must be given, but is missing$"),
        (drop("arch", "clip", "rate_fps"), r"^arch\.clip\.rate_fps: must be given, but is missing$"),
        (drop(*LAYER, "width"), r"^arch\.blocks\[3\]\.layers\[1\]\.width: must be given, but is missing$"),
        (put(*LAYER, "width", value=0), r"^arch\.blocks\[3\]\.layers\[1\]\.width: must be in \[1, 16384\], but got 0$"),
        (put(*LAYER, "width", value=-8), r"^arch\.blocks\[3\]\.layers\[1\]\.width: must be in .* but got -8$"),
        (put(*LAYER, "width", value="8"), r"\.layers\[1\]\.width: input should be a valid integer, but got '8'$"),
        (put(*LAYER, "width", value=8.0), r"\.layers\[1\]\.width: input should be a valid integer, but got 8\.0$"),
        (put(*LAYER, "width", value=True), r"\.layers\[1\]\.width: input should be a valid integer, but got True$"),
        (put(*LAYER, "width", value=None), r"\.layers\[1\]\.width: input should be a valid integer, but got None$"),
        (put(*LAYER, "width", value=1 << 62), r"\.layers\[1\]\.width: must be in \[1, 16384\], but got 4611686018"),
        (put(*LAYER, "se", value=1), r"\.layers\[1\]\.se: input should be a valid boolean, but got 1$"),
        (put(*LAYER, "stride", value=3), r"\.layers\[1\]\.stride: must be in \[1, 2\], but got 3$"),
        (
            put(*LAYER, "kernel", value=[3, 2, 3]),
            r"\.layers\[1\]\.kernel: must be three odd numbers from 1 to 15, but got",
        ),
        (
            put(*LAYER, "kernel", value="3x3x3"),
            r"\.layers\[1\]\.kernel: input should be a valid array, but got '3x3x3'$",
        ),
        (put(*LAYER, "kernel", value=[3, 3]), r"\.layers\[1\]\.kernel\[2\]: must be given, but is missing$"),
        (put(*LAYER, "kernel", value=[3, 3, 3, 3]), r"\.layers\[1\]\.kernel: tuple should have at most 3 items after"),
        (put(*LAYER, "kernel", value=[3, 3, "3"]), r"\.layers\[1\]\.kernel\[2\]: input should be a valid integer"),
        (
            put("arch", "blocks", 3, "layers", value=[]),
            r"^arch\.blocks\[3\]\.layers: must be 1 to 64 layers, but got 0$",
        ),
        (put("arch", "blocks", value=[]), r"^arch\.blocks: must be 1 to 16 blocks, but got 0$"),
        (put("arch", "blocks", value={}), r"^arch\.blocks: input should be a valid array, but got \{\}$"),
        (put("arch", "blocks", 3, value=7), r"^arch\.blocks\[3\]: input should be an object, but got 7$"),
        (put("arch", value=None), r"^arch: input should be an object, but got None$"),
        (put("arch", "clip", "resolution", value=4), r"^arch\.clip\.resolution: must be in \[8, 4096\], but got 4$"),
        (put("arch", "clip", "rate_fps", value=0), r"^arch\.clip\.rate_fps: must be in \(0, 1000\], but got 0\.0$"),
        (
            put("arch", "clip", "rate_fps", value="5"),
            r"^arch\.clip\.rate_fps: input should be a valid number, but got '5'$",
        ),
        (
            put("arch", "clip", "rate_fps", value=True),
            r"^arch\.clip\.rate_fps: input should be a valid number, but got True$",
        ),
        (
            put("variant", "gate", value="tanh"),
            r"^variant\.gate: input should be 'sigmoid', 'hard_sigmoid' or 'legacy_hard_sigmoid', but got 'tanh'$",
        ),
        (put("metrics", value={"top1": "high"}), r"^metrics\.top1: input should be a valid number, but got 'high'$"),
        (put("genotype", value=[]), r"^genotype: input should be an object, but got \[\]$"),
        (
            put("genotype", value={"block2.depth": None}),
            r"^genotype\.block2\.depth.*: input should be a valid string, but",
        ),
        (put("provenance", "seed", value="3"), r"^provenance\.seed: input should be a valid integer, but got '3'$"),
        (put("provenance", "run", value="\ud800"), r"invalid JSON: "),
    ],
)
def test_a_bad_document_is_refused_with_its_place(edit, message):
    found = document(make_spec_file(A0, BASE))
    edit(found)
    with pytest.raises(SpecError, match=message) as caught:
        parse_spec(found)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_variant_that_does_not_fit_the_architecture_is_refused():
    message = r"^arch\.blocks\[1\]\.layers\[0\]\.kernel: must have no extent in time where the variant has"
    with pytest.raises(SpecError, match=message):
        make_spec_file(A0, Variant(temporal_shift=True))
    found = document(make_spec_file(A0, BASE))
    found["variant"]["temporal_shift"] = True
    with pytest.raises(SpecError, match=message):
        parse_spec(found)


@pytest.mark.parametrize("found", [None, 1, "spec", [1], True])
def test_a_document_is_an_object(found):
    with pytest.raises(SpecError, match=r"^must be an object, but got "):
        parse_spec(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"a document must be JSON, but got Expecting value at line 1 column 1$"),
        (b"\xff\xfe", r"a document must be UTF-8, but byte 0 is not$"),
        (
            b'{"kind": "movinas.spec", "kind": "movinas.spec"}',
            r"a field must stand once, but got 'kind' more than once$",
        ),
        (b'{"metrics": {"top1": NaN}}', r"a number must be finite, but got NaN$"),
        (b'{"metrics": {"top1": 1e999}}', r"a number must be finite, but got 1e999$"),
        (b"[" * 100_000, r"a document must nest at most 32 deep, but got more$"),
        (b" " * (MAX_BYTES + 1), r"a document must have at most 1048576 bytes, but got 1048577$"),
        (b'{"kind": "movinas.space", "schema": 1}', r"kind: must be 'movinas\.spec', but got 'movinas\.space'$"),
        (b'{"kind": "movinas.spec", "schema": 9}', r"schema: must be 1, but got 9$"),
        (b'{"kind": "movinas.spec", "schema": 1}', r"fingerprint: must be given, but is missing$"),
        (b"null", r"must be an object, but got None$"),
    ],
)
def test_errors_of_a_file_name_it(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_bytes(text)
    with pytest.raises(SpecError, match=rf"a\.json: {message}") as caught:
        read_spec(path)
    assert caught.value.path == path
    assert path.read_bytes() == text


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(SpecError, match=r"absent\.json: must be a readable file, but got No such file or directory$"):
        read_spec(tmp_path / "absent.json")


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 62), 1 << 62)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def places(value, where=()):
    """Where every field and item of a document is."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*where, name)
        yield from places(item, (*where, name))


def result_or_error(read, source):
    try:
        return read(source)
    except MovinasError as error:
        return error


WHOLE = document(nano_file())
PLACES = sorted(places(WHOLE), key=str)


@settings(max_examples=300)
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
    spec_file = result_or_error(parse_spec, found)
    if isinstance(spec_file, MovinasError):
        assert isinstance(spec_file, SpecError)
        assert "\n" not in str(spec_file)
        return
    assert spec_file.fingerprint == fingerprint(spec_file.arch, spec_file.variant) == WHOLE["fingerprint"]


@settings(max_examples=400)
@given(st.data())
def test_any_damage_of_a_file_is_read_or_refused(tmp_path_factory, data):
    text = bytearray(pretty(WHOLE).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 6))
        text[at : at + length] = data.draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"[", b"}", b"-", b"e9", b"0", b"\\u"])
        )
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_bytes(text)
    spec_file = result_or_error(read_spec, path)
    if isinstance(spec_file, MovinasError):
        assert isinstance(spec_file, SpecError)
        assert spec_file.path == path
        return
    assert (spec_file.arch, spec_file.variant) == (nano_file().arch, nano_file().variant)


def test_the_json_schema_describes_the_files():
    schema = json_schema()
    assert set(schema["required"]) == {"schema", "kind", "fingerprint", "arch", "variant"}
    assert schema["additionalProperties"] is False
    layer_schema = schema["$defs"]["LayerSpec"]
    assert set(layer_schema["required"]) == {"kernel", "width", "expansion"}
    assert layer_schema["additionalProperties"] is False
    assert layer_schema["properties"]["kernel"]["maxItems"] == 3
