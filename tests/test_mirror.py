"""Each test file mirrors the module it tests: tests/a/test_b.py tests dashseg/a/b.py."""

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "src" / "dashseg"

ACROSS = {  # these test what several modules do together, or what is no module
    "benchmarks/test_cluster_simulation.py": "the simulation in benchmarks/",
    "benchmarks/test_frontier.py": "benchmarks/frontier.py",
    "benchmarks/test_gpu.py": "benchmarks/gpu.py",
    "benchmarks/test_heads.py": "benchmarks/heads.py",
    "benchmarks/test_smoke.py": "the scripts in benchmarks/",
    "cli/test_predict_video.py": "predict on videos, apart from predict on images",
    "cli/test_verbs.py": "train, evaluate and predict one after the other",
    "curate/fetch/test_stopped.py": "fetch, killed at each of its steps",
    "formats/test_datumaro.py": "files that Datumaro wrote, in several formats",
    "inference/test_many.py": "Segmenter.many with each runtime",
    "inference/test_pretrained.py": "the model that comes with dashseg",
    "inference/test_processes.py": "loaded models in threads, forks and other processes",
    "inference/test_signatures.py": "exported files that are not what was exported",
    "models/test_deployment.py": "networks through export, compile and odd sizes",
    "pages/test_pages.py": "the package itself",
    "serving/desk/test_kill.py": "a server killed while people save at its desk",
    "serving/test_desk_page.py": "the desk's page, in a browser",
    "serving/test_page.py": "the page at /, in a browser",
    "scenes/test_scenes.py": "whole scenes",
    "test_examples.py": "the examples in docstrings and docs",
    "test_hostile.py": "every reader of files, with damaged ones",
    "test_licence.py": "the package's licence",
    "test_mirror.py": "this rule",
    "training/test_kill.py": "a training killed at any instant",
    "training/test_two_processes.py": "a training on two processes",
}


def test_each_test_file_mirrors_a_module() -> None:
    strays = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("test_*.py")
        if not _mirrored(path.relative_to(TESTS))
    }
    assert strays == set(ACROSS)


def _mirrored(test: Path) -> bool:
    module = PACKAGE / test.parent / test.stem.removeprefix("test_")
    return module.with_suffix(".py").is_file() or module.is_dir()
