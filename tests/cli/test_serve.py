from tests.helpers.command import refused


def test_malformed_configuration(tmp_path):
    path = tmp_path / "daemon.toml"
    path.write_text("[[stream]]\nname = 'a'\nsource = 'rtp://127.0.0.1:99999'\nreference = 'tone'\n")
    line = refused("serve", path)
    assert f"{path}:3" in line
    assert "99999" in line
