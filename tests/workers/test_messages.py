"""How the progress of members travels from the workers to the process that was started."""

import json
import multiprocessing

import pytest

from digits.workers import messages


def report(member, pipe, epochs):
    with messages.sender(pipe) as send, messages.Reporter(member, send) as reporter:
        for epoch in range(epochs):
            reporter.within_epoch(epoch, 0.0)
            reporter.after_epoch({"epoch": epoch + 1.0, "watched_loss": float("nan")}, images=10)


def test_every_line_of_every_worker_arrives_whole_and_in_its_order():
    heard = []
    with messages.listen(heard.append, lambda: None) as pipe:
        spawn = multiprocessing.get_context("spawn")
        workers = [spawn.Process(target=report, args=(name, pipe, 300)) for name in "ab"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    for name in "ab":
        own = [message for message in map(json.loads, heard) if message["member"] == name]
        assert [message["epoch"] for message in own if "epoch" in message] == list(range(300))
        assert [message["row"]["epoch"] for message in own if "row" in message] == list(range(1, 301))
        assert "end" in own[-1] and len(own) == 601


def test_what_goes_wrong_while_listening_is_raised_at_the_end_and_no_worker_waits():
    def refuse(line):
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"), messages.listen(refuse, lambda: None) as pipe:
        report("a", pipe, 2000)  # more than a pipe holds


def test_training_ends_at_the_deadline():
    sent = []
    with pytest.raises(messages.OutOfTime), messages.Reporter("a", sent.append, until=0.0) as reporter:
        reporter.within_epoch(3, 0.5)
    assert [json.loads(line) for line in sent] == [{"member": "a", "end": True}]


def test_without_a_pipe_lines_are_printed(capsys):
    report("a", None, 1)
    assert len(capsys.readouterr().out.splitlines()) == 3
