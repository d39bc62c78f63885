from vidcaption.scale.layout import lay_out


def test_cpus_are_halved_between_networks_and_readers() -> None:
    layout = lay_out([2.0], gpus=0)
    assert (layout.networks, layout.cpus, layout.gpus, layout.threads) == (1, 1.0, 0.0, 2)
    assert (layout.readers, layout.reader_cpus) == (2, 0.5)

    layout = lay_out([16.0, 64.0, 0.0], gpus=0)  # a head without CPUs
    assert (layout.networks, layout.cpus, layout.threads) == (20, 2.0, 4)
    assert (layout.readers, layout.reader_cpus) == (4, 0.5)


def test_small_machines_get_small_networks() -> None:
    layout = lay_out([2.0, 2.0, 32.0], gpus=0)
    assert (layout.networks, layout.threads, layout.cpus) == (18, 2, 1.0)
    assert lay_out([], gpus=0).networks == lay_out([1.0], gpus=0).networks == 1


def test_what_is_asked_for_fits() -> None:
    for cpus, networks, readers in ([3.0], 2, 3), ([2.0], 7, None), ([8.0, 8.0], 3, 9):
        layout = lay_out(cpus, 0, networks, readers)
        assert layout.networks == networks and layout.threads >= 1
        assert readers is None or layout.readers == readers
        used = layout.networks * (layout.cpus + layout.readers * layout.reader_cpus)
        assert 0.99 * sum(cpus) <= used <= sum(cpus) or layout.threads == 4
        assert layout.reader_cpus > 0


def test_gpus_are_shared_evenly_and_cpus_read() -> None:
    layout = lay_out([16.0, 16.0], gpus=2)
    assert (layout.networks, layout.gpus, layout.cpus) == (2, 1.0, 0.0)
    assert (layout.readers, layout.reader_cpus) == (16, 1.0)
    assert lay_out([16.0], gpus=1, networks=4).gpus == 0.25
    assert lay_out([16.0], gpus=2, networks=3).gpus == 0.5  # two thirds would not fit twice
    assert lay_out([16.0], gpus=2, networks=1).gpus == 1.0
    assert lay_out([1.0], gpus=2).readers == 2
    assert lay_out([16.0], gpus=2, readers=3).readers == 3
