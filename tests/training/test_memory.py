from pathlib import Path

from dashseg.training.memory import free_memory


def test_a_container_has_no_more_memory_than_its_limit(tmp_path: Path) -> None:
    limit, absent = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    limit.write_text("100000\n")
    assert free_memory((limit, absent)) == 100_000
    limit.write_text("max\n")
    assert free_memory((limit, absent)) > 100_000_000
    assert free_memory((limit,)) <= int(1.5 * free_memory(()))  # the machine's own, give or take
