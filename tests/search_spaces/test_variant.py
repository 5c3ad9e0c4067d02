import dataclasses

from search_spaces.variant import VARIANTS, Variant


def test_the_default_is_the_published_base_network():
    # movinet.md 1.4 and 1.6: swish everywhere, sigmoid gate
    assert dict(VARIANTS) == {"base": Variant(activation="swish", gate="sigmoid")}


def test_every_switch_has_a_default_so_that_older_files_keep_their_fingerprint():
    assert all(entry.default is not dataclasses.MISSING for entry in dataclasses.fields(Variant))
