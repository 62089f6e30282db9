import lockgate.loader


def test_every_public_name_of_the_loader_is_there():
    for name in lockgate.loader.__all__:
        assert getattr(lockgate.loader, name).__name__ == name


def test_no_other_name_is():
    assert not hasattr(lockgate.loader, "open_everything")
