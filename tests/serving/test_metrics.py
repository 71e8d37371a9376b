"""What Prometheus reads, by its own client's parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def test_requests_batches_and_memory_are_counted(ask, serve, segmenter, encoded) -> None:
    def read(name: str, **labels: str) -> float:
        text = ask(address, "GET", "/metrics")[2].decode()
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        return next(s.value for s in samples if (s.name, s.labels) == (name, labels))

    with serve({"tiny": segmenter}) as address:
        for body in (encoded(), encoded(), b"no image"):
            ask(address, "POST", "/v1/segment", body)
        for path in ("/one", "/two"):
            ask(address, "GET", path)
        route = "/v1/segment"
        assert read("dashseg_requests_total", route=route, status="200") == 2
        assert read("dashseg_requests_total", route=route, status="415") == 1
        assert read("dashseg_requests_total", route="none", status="404") == 2
        assert read("dashseg_request_seconds_count", route=route) == 3
        assert read("dashseg_batch_size_sum", model="tiny") == 2
        assert read("dashseg_queue_length", model="tiny") == 0
        assert read("process_resident_memory_bytes") > 1e7
