import made_runs

from results.config import option, read_config


def test_options_by_name(tmp_path):
    run = made_runs.make_run(tmp_path / "run")
    run.config_path.write_text("recipe:\n  epochs: 3\nseed: 0\n")
    assert read_config(run) == {"recipe": {"epochs": 3}, "seed": 0}
    assert (option(run, "recipe", "epochs"), option(run, "recipe", "lr"), option(run, "seed", "x")) == (3, None, None)


def test_what_does_not_read_is_empty(tmp_path):
    run = made_runs.make_run(tmp_path / "run")
    for text in ("- 1\n", "a: [", "!!python/object/apply:os.getcwd []\n"):
        run.config_path.write_text(text)
        assert read_config(run) == {}
    run.config_path.unlink()
    assert option(run, "recipe", "epochs") is None
