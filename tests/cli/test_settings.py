"""Settings: flags over environment over config file. Mistakes name their option, and never a secret."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from batch.api.dialects import DIALECTS, Rate
from batch.errors import SettingsError, UnsafePlaceError
from batch.model import CheckTenant
from batch.settings import CONSENTS, Settings, load
from batch.settings.waves import WaveSize
from tests.rights import ONLY_POSIX, folder_with

SECRET = "hunter2-hunter2"


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def refusal(config_file: Path, flags: dict[str, object] | None = None, profile: str = "") -> str:
    """The message about a mistake."""
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, config_file=config_file, profile=profile)
    assert caught.value.next_step
    assert caught.value.exit_code == 2
    return caught.value.message


def test_without_any_setting_the_defaults_apply(config_file: Path) -> None:
    settings = load({}, config_file=config_file)
    assert (settings.api, settings.concurrency, settings.sandbox, settings.yes) == ("beta", 32, False, False)
    assert settings.dialect is DIALECTS["beta"]
    assert settings.pace == DIALECTS["beta"].rate
    assert settings.out is None


OPTIONS: list[tuple[str, str, Any, Any, Any]] = [
    # option, its variable, then a value each for flag, environment and file
    ("ledger", "ACCESS_BATCH_LEDGER", "flag.db", "environment.db", "file.db"),
    ("base_url", "ACCESS_BATCH_BASE_URL", "https://flag", "https://environment", "https://file"),
    ("base_url", "SAIL_BASE_URL", "https://flag", "https://environment", "https://file"),
    ("client_id", "ACCESS_BATCH_CLIENT_ID", "flag", "environment", "file"),
    ("client_id", "SAIL_CLIENT_ID", "flag", "environment", "file"),
    ("client_secret_file", "ACCESS_BATCH_CLIENT_SECRET_FILE", Path("flag"), Path("environment"), Path("file")),
    ("client_secret_env", "ACCESS_BATCH_CLIENT_SECRET_ENV", "FLAG", "ENVIRONMENT", "FILE"),
    ("api", "ACCESS_BATCH_API", "v3", "v2025", "v1"),
    ("check_tenant", "ACCESS_BATCH_CHECK_TENANT", CheckTenant.NEVER, CheckTenant.ALWAYS, CheckTenant.AUTO),
    ("max_age", "ACCESS_BATCH_MAX_AGE", 0.0, 1.5, 60.0),
    ("concurrency", "ACCESS_BATCH_CONCURRENCY", 1, 2, 3),
    ("timeout", "ACCESS_BATCH_TIMEOUT", 1.5, 2.5, 3.5),
    ("ca_file", "ACCESS_BATCH_CA_FILE", Path("flag"), Path("environment"), Path("file")),
    ("out", "ACCESS_BATCH_OUT", Path("flag"), Path("environment"), Path("file")),
    ("out_format", "ACCESS_BATCH_OUT_FORMAT", "xlsx", "csv", "xlsx"),
    ("sheet", "ACCESS_BATCH_SHEET", "flag", "environment", "file"),
    ("wait", "ACCESS_BATCH_WAIT", True, False, True),
    ("track_for", "ACCESS_BATCH_TRACK_FOR", 0.0, 2.5, 3.5),
    ("log_file", "ACCESS_BATCH_LOG_FILE", Path("flag"), Path("environment"), Path("file")),
    ("date_format", "ACCESS_BATCH_DATE_FORMAT", "us", "eu", "%d %b %Y"),
    ("time_zone", "ACCESS_BATCH_TIME_ZONE", "flag", "environment", "file"),
    ("comment", "ACCESS_BATCH_COMMENT", "flag", "environment", "file"),
    ("identity_by", "ACCESS_BATCH_IDENTITY_BY", "alias", "email", "name"),
    ("max_age", "ACCESS_BATCH_MAX_AGE", 1.5, 2.5, 3.5),
    ("sandbox", "ACCESS_BATCH_SANDBOX", True, False, True),
]


@pytest.mark.parametrize(("option", "variable", "flag", "environment", "file"), OPTIONS)
def test_flags_outrank_the_environment_and_the_environment_the_file(
    option: str,
    variable: str,
    flag: Any,
    environment: Any,
    file: Any,
    config_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = f"'{file}'" if isinstance(file, (str, Path)) else str(file).lower()
    config_file.write_text(f"{option} = {written}\n")
    assert getattr(load({}, config_file=config_file), option) == file
    monkeypatch.setenv(variable, str(environment))
    assert getattr(load({}, config_file=config_file), option) == environment
    assert getattr(load({option: None}, config_file=config_file), option) == environment
    assert getattr(load({option: flag}, config_file=config_file), option) == flag


def test_maps_are_a_list_or_in_the_environment_a_text_with_commas(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text("map = ['User=identity', 'a,b=item']\n")
    assert load({}, config_file=config_file).map == ("User=identity", "a,b=item")
    monkeypatch.setenv("ACCESS_BATCH_MAP", "User=identity_id,Role=item")
    assert load({}, config_file=config_file).map == ("User=identity_id", "Role=item")
    assert load({"map": ["x=item"]}, config_file=config_file).map == ("x=item",)


def test_our_own_variable_outranks_the_vendors(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAIL_BASE_URL", "https://vendor")
    monkeypatch.setenv("ACCESS_BATCH_BASE_URL", "https://ours")
    assert load({}, config_file=config_file).base_url == "https://ours"


def test_an_empty_variable_counts_as_not_set(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config_file.write_text("api = 'v3'\n")
    monkeypatch.setenv("ACCESS_BATCH_API", "")
    monkeypatch.setenv("ACCESS_BATCH_CLIENT_ID", "")
    monkeypatch.setenv("SAIL_CLIENT_ID", "vendor")
    settings = load({}, config_file=config_file)
    assert (settings.api, settings.client_id) == ("v3", "vendor")
    assert settings.sources.environment == {"client_id": "SAIL_CLIENT_ID"}


@pytest.mark.parametrize("name", ["BASE_URL", "base_url", "CLIENT_ID", "CLIENT_SECRET", "LEDGER", "SAIL_LEDGER"])
def test_a_variable_that_is_not_ours_changes_nothing(
    name: str, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = load({}, config_file=config_file)
    monkeypatch.setenv(name, "https://theirs")
    assert load({}, config_file=config_file) == usual


def test_a_profile_is_laid_over_the_top_level_of_the_file(config_file: Path) -> None:
    config_file.write_text(
        "base_url = 'https://top'\nconcurrency = 3\n[profile.test]\nbase_url = 'https://test'\n"
        "[profile.prod]\nbase_url = 'https://prod'\n"
    )
    found = {name: load({}, config_file=config_file, profile=name).base_url for name in ("", "test", "prod")}
    assert found == {"": "https://top", "test": "https://test", "prod": "https://prod"}
    assert load({}, config_file=config_file, profile="test").concurrency == 3


@pytest.mark.parametrize("content", ["profile = 'test'\n", "[profile]\ntest = 3\n"])
def test_a_profile_that_is_not_a_table_is_refused(content: str, config_file: Path) -> None:
    config_file.write_text(content)
    assert "profile" in refusal(config_file, profile="test")


def test_the_config_file_is_found_in_its_usual_place(tmp_path: Path) -> None:
    # conftest sets the folder for every test.
    folder = tmp_path / "config" / "access-batch"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("concurrency = 7\n")
    assert load({}).concurrency == 7


@pytest.mark.parametrize("content", ["colour = 'red'\n", "SAIL_BASE_URL = 'x'\n", "[profile.p]\ncolour = 'red'\n"])
def test_unknown_entries_of_the_file_are_refused_by_name(content: str, config_file: Path) -> None:
    config_file.write_text(content)
    message = refusal(config_file, profile="p" if "profile" in content else "")
    assert "unknown entries" in message
    assert "colour" in message or "SAIL_BASE_URL" in message


@pytest.mark.parametrize("profile", ["", "p"])
def test_a_secret_in_the_file_is_refused_and_not_quoted(profile: str, config_file: Path) -> None:
    config_file.write_text(f"{'[profile.p]' if profile else ''}\nclient_secret = '{SECRET}'\n")
    message = refusal(config_file, profile=profile)
    assert "client_secret" in message
    assert SECRET not in message


@pytest.mark.parametrize("ledger", [f"postgresql://ada:{SECRET}@db/x", f"postgres://db/x?port=1&password={SECRET}"])
@pytest.mark.parametrize("profile", ["", "p"])
def test_the_password_of_the_ledger_in_the_file_is_refused_and_not_quoted(
    profile: str, ledger: str, config_file: Path
) -> None:
    config_file.write_text(f"{'[profile.p]' if profile else ''}\nledger = '{ledger}'\n")
    message = refusal(config_file, profile=profile)
    assert "holds the ledger's password" in message
    assert SECRET not in message
    config_file.write_text("ledger = 'postgresql://ada@db.example/x?sslmode=verify-full'")
    assert load({}, config_file=config_file).ledger.startswith("postgresql://ada@")


@pytest.mark.parametrize("content", [b"x = ", b"\xff\xfe", b"[profile\n"])
def test_a_file_that_cannot_be_read_is_refused_by_name(content: bytes, config_file: Path) -> None:
    config_file.write_bytes(content)
    assert str(config_file) in refusal(config_file)


@ONLY_POSIX
def test_a_file_that_everybody_can_write_to_decides_nothing(config_file: Path) -> None:
    config_file.write_text("base_url = 'https://evil.example'\n")
    config_file.chmod(0o666)
    with pytest.raises(SettingsError, match="Everybody can write to the config file") as caught:
        load({}, config_file=config_file)
    assert caught.value.next_step.endswith(f"chmod o-w {config_file}")
    config_file.chmod(0o664)
    assert load({}, config_file=config_file).base_url


@ONLY_POSIX
def test_a_file_that_everybody_can_replace_decides_nothing(tmp_path: Path) -> None:
    config_file = folder_with(tmp_path / "open", 0o777) / "config.toml"
    config_file.write_text("base_url = 'https://evil.example'\n")
    with pytest.raises(UnsafePlaceError, match=f"Everybody can write to the folder {config_file.parent}"):
        load({}, config_file=config_file)
    config_file.parent.chmod(0o711)
    assert load({}, config_file=config_file).base_url


def test_a_link_that_leads_to_nothing_is_refused_and_no_file_is_made_there(config_file: Path, tmp_path: Path) -> None:
    config_file.symlink_to(tmp_path / "missing")
    assert "is a link that leads to nothing" in refusal(config_file)


@ONLY_POSIX
def test_a_pipe_instead_of_the_file_is_refused_and_not_waited_for(config_file: Path) -> None:
    os.mkfifo(config_file)
    assert "it is not a file" in refusal(config_file)


def test_a_folder_instead_of_the_file_is_refused_by_name(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(tmp_path)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("concurrency", "many"),
        ("concurrency", "0"),
        ("concurrency", "101"),
        ("timeout", "0"),
        ("timeout", "-1"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("sandbox", "perhaps"),
        ("rate", "fast"),
    ],
)
@pytest.mark.parametrize("place", ["flag", "environment", "file"])
def test_a_bad_value_is_reported_with_its_option_in_every_source(
    option: str, value: str, place: str, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv(f"ACCESS_BATCH_{option.upper()}", value)
    if place == "file":
        config_file.write_text(f"{option} = '{value}'\n")
    flags: dict[str, object] = {option: value} if place == "flag" else {}
    assert refusal(config_file, flags).startswith(f"--{option}: ")


@pytest.mark.parametrize("option", ["base_url", "client_id"])
def test_a_bad_value_of_an_option_with_two_variables_is_reported_with_its_option(
    option: str, config_file: Path
) -> None:
    config_file.write_text(f"{option} = 7\n")
    assert refusal(config_file).startswith(f"--{option.replace('_', '-')}: ")


def test_a_bad_value_comes_with_the_place_to_correct(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def place(flags: dict[str, object]) -> str:
        with pytest.raises(SettingsError) as caught:
            load(flags, config_file=config_file, command="access-batch doctor")
        return caught.value.next_step

    config_file.write_text('rate = "5"\n')
    assert place({"rate": "5"}) == "See `access-batch doctor --help`."
    assert place({"rate": None}) == f"Correct it in {config_file}."
    monkeypatch.setenv("ACCESS_BATCH_RATE", "5")
    assert place({}) == "Correct it in ACCESS_BATCH_RATE."


def test_an_unknown_api_version_is_refused_with_a_list_of_known_ones(config_file: Path) -> None:
    with pytest.raises(SettingsError, match="'v4'") as caught:
        assert load({"api": "v4"}, config_file=config_file).dialect
    assert "v2025" in caught.value.next_step


@pytest.mark.parametrize("value", [[SECRET], {"secret": SECRET}, SECRET.encode() + b"\xff"])
def test_a_bad_secret_is_not_quoted(value: object, config_file: Path) -> None:
    message = refusal(config_file, {"client_secret": value})
    assert message.startswith("--client-secret: ")
    assert SECRET not in message


@pytest.mark.parametrize("variable", ["SAIL_CLIENT_SECRET", "ACCESS_BATCH_CLIENT_SECRET"])
def test_the_secret_comes_from_the_environment_and_never_shows(
    variable: str, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, SECRET)
    settings = load({"client_id": "client"}, config_file=config_file)
    assert settings.client_secret.get_secret_value() == SECRET
    assert SECRET not in repr(settings) + str(settings) + repr(settings.model_dump()) + repr(settings.sources)
    with pytest.raises(SettingsError) as caught:
        load({"concurrency": SECRET}, config_file=config_file)
    assert SECRET not in caught.value.message


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/10", Rate(requests=100, seconds=10)),
        ("1/0.5", Rate(requests=1, seconds=0.5)),
        (" 5 / 1 ", Rate(requests=5, seconds=1)),
        ("500000/3600", Rate(requests=500_000, seconds=3600)),
    ],
)
@pytest.mark.parametrize("place", ["flag", "environment", "file"])
def test_a_rate_is_written_as_a_number_per_seconds(
    text: str, rate: Rate, place: str, config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv("ACCESS_BATCH_RATE", text)
    if place == "file":
        config_file.write_text(f"rate = '{text}'\n")
    settings = load({"rate": text} if place == "flag" else {}, config_file=config_file)
    assert settings.rate == settings.pace == rate


@pytest.mark.parametrize(
    "written", ["'100'", "'0/10'", "'-1/10'", "'10/0'", "'10/-1'", "'10/nan'", "'10/inf'", "'1.5/10'", "'10/3601'"]
)
def test_an_invalid_rate_is_refused(written: str, config_file: Path) -> None:
    config_file.write_text(f"rate = {written}\n")
    assert refusal(config_file).startswith("--rate: ")


@pytest.mark.parametrize("written", ["5", "[100, 10]", "{requests = 0, seconds = 0.0}"])
def test_a_rate_that_is_not_text_is_refused_with_the_right_form(written: str, config_file: Path) -> None:
    config_file.write_text(f"rate = {written}\n")
    assert "N/SECONDS" in refusal(config_file)


def test_a_rate_as_json_in_the_environment_is_refused(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_BATCH_RATE", '{"requests": 0, "seconds": 0}')
    assert refusal(config_file).startswith("--rate: ")


def test_the_sandbox_has_a_ledger_of_its_own(config_file: Path) -> None:
    real, sandbox = (load({"sandbox": value}, config_file=config_file).ledger_location for value in (False, True))
    assert real != sandbox
    assert load({"ledger": "mine.db", "sandbox": True}, config_file=config_file).ledger_location == "mine.db"


def test_the_default_ledger_is_in_the_users_data_folder(config_file: Path, tmp_path: Path) -> None:
    # conftest sets the folder for every test.
    assert Path(load({}, config_file=config_file).ledger_location).is_relative_to(tmp_path / "data")


def test_settings_are_frozen(config_file: Path) -> None:
    settings = load({}, config_file=config_file)
    for name, value in (("api", "v3"), ("client_secret", SecretStr(SECRET))):
        with pytest.raises(ValidationError):
            setattr(settings, name, value)
    assert settings == load({}, config_file=config_file)


NUMBERS = {
    *("concurrency", "timeout", "settle_after", "give_up_after", "max_age", "track_for", "max_input", "plan_age"),
    *("max_changes", "max_revokes", "max_per_person", "max_revoke_share", "confirm_above", "monthly_calls"),
}
ONLY_IN_THE_FILE = {"production", "require_plan", "approvals_required", "allowed_signers"}


def test_the_environment_can_set_every_option_but_consent(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        is_flag = name in {"ledger_insecure", "sandbox", "strict", "report", "wait", "all_or_nothing"}
        monkeypatch.setenv(f"ACCESS_BATCH_{name.upper()}", "true" if is_flag else "1/1")
        if name in NUMBERS:
            monkeypatch.setenv(f"ACCESS_BATCH_{name.upper()}", "9")
        if name in {"canary", "canary_for", "tolerate"}:
            monkeypatch.setenv(f"ACCESS_BATCH_{name.upper()}", "9")
    monkeypatch.setenv("ACCESS_BATCH_API", "v3")
    monkeypatch.setenv("ACCESS_BATCH_EFFORT", "fast")
    monkeypatch.setenv("ACCESS_BATCH_IDENTITY_BY", "email")
    monkeypatch.setenv("ACCESS_BATCH_CHECK_TENANT", "always")
    monkeypatch.setenv("ACCESS_BATCH_RESUBMIT", "rejected")
    monkeypatch.setenv("ACCESS_BATCH_OUT_FORMAT", "xlsx")
    monkeypatch.setenv("ACCESS_BATCH_REQUEST_METADATA", "change=CHG1")
    monkeypatch.setenv("ACCESS_BATCH_IGNORE", "form_required,person_inactive")
    settings = load({}, config_file=config_file)
    assert settings.model_fields_set == set(Settings.model_fields) - CONSENTS - ONLY_IN_THE_FILE


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("500/day", WaveSize(500, 86400.0)),
        ("20/hour", WaveSize(20, 3600.0)),
        ("5/20", WaveSize(5, 20.0)),
        ("none", WaveSize(0, 0.0)),
    ],
)
def test_a_wave_is_so_many_changes_in_a_period(written: str, size: WaveSize, config_file: Path) -> None:
    assert load({"wave": written}, config_file=config_file).wave == size


@pytest.mark.parametrize(
    "written", ["500", "0/day", "-1/day", "5/week", "many/day", "5/0", "5/nan", "5/86401", "1.5/day"]
)
def test_an_invalid_wave_is_refused_with_the_right_form(written: str, config_file: Path) -> None:
    config_file.write_text(f"wave = '{written}'\n")
    assert "N/day or N/hour" in refusal(config_file)


def test_only_rules_of_the_tenant_can_be_ignored(config_file: Path) -> None:
    assert load({"ignore": ["form_required", "person_inactive"]}, config_file=config_file).ignore == (
        "form_required",
        "person_inactive",
    )
    config_file.write_text('ignore = ["form_required"]\nstrict = true\n')
    settings = load({}, config_file=config_file)
    assert (settings.ignore, settings.strict) == (("form_required",), True)
    with pytest.raises(SettingsError, match="--ignore: there is no rule 'form'; the rules are item_unlisted, "):
        load({"ignore": ["form"]}, config_file=config_file)


def test_rules_may_be_named_with_commas_and_a_misspelled_one_gets_the_right_name_and_a_topic_that_explains_them(
    config_file: Path,
) -> None:
    two = ("form_required", "item_disabled")
    assert load({"ignore": ["form_required, item_disabled"]}, config_file=config_file).ignore == two
    for written in ("item-disabled", "ITEM_DISABLED", "form_required,item_disabeld"):
        with pytest.raises(SettingsError, match=r"; did you mean item_disabled\?$") as stopped:
            load({"ignore": [written]}, config_file=config_file, command="access-batch plan")
        assert stopped.value.next_step == "See `access-batch help results`."
    with pytest.raises(SettingsError, match="--ignore: name rules of the tenant"):
        load({"ignore": [""]}, config_file=config_file)


def test_a_condition_from_the_environment_may_have_commas(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS_BATCH_WHERE", "Team=Finance, Legal")
    assert load({}, config_file=config_file).where == ("Team=Finance, Legal",)
    assert load({"where": ["a=b,c", "d~e"]}, config_file=config_file).where == ("a=b,c", "d~e")


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512 << 20), ("2g", 2 << 30), ("1 GiB", 1 << 30), ("10 kB", 10240), ("77", 77), (9, 9)]
)
def test_a_size_is_a_number_with_a_unit(text: object, size: int, config_file: Path) -> None:
    assert load({"max_input": text}, config_file=config_file).max_input == size


@pytest.mark.parametrize("text", ["0", "-1", "1TB", "half", "1.5GB", True, -3])
def test_anything_else_is_no_size(text: object, config_file: Path) -> None:
    assert refusal(config_file, {"max_input": text}).startswith("--max-input: ")


def test_resubmit_takes_a_list_or_a_text_with_commas(config_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({}, config_file=config_file).resubmit == set()
    config_file.write_text('resubmit = ["failed", "rejected"]\n')
    assert load({}, config_file=config_file).resubmit == {"failed", "rejected"}
    monkeypatch.setenv("ACCESS_BATCH_RESUBMIT", "cancelled")
    assert load({}, config_file=config_file).resubmit == {"cancelled"}
    assert load({"resubmit": " Rejected,failed"}, config_file=config_file).resubmit == {"rejected", "failed"}


@pytest.mark.parametrize("words", ["duplicate", "provisioned", "rejected,", "rejected failed", 7])
def test_resubmit_refuses_other_words(words: object, config_file: Path) -> None:
    assert refusal(config_file, {"resubmit": words}).startswith("--resubmit: ")


@pytest.mark.parametrize("text", ["a = " + "[" * 50_000, "timeout = " + "1" * 6_000])
def test_a_config_file_that_breaks_the_parser_is_refused(text: str, tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    config_file.write_text(text)
    with pytest.raises(SettingsError, match="can't be read"):
        load({}, config_file=config_file)


def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    config_file = tmp_path / "config.toml"
    config_file.write_text("timeout = 7", encoding="utf-8-sig")
    assert load({}, config_file=config_file).timeout == 7


def test_an_empty_flag_is_refused() -> None:
    with pytest.raises(SettingsError, match="--base-url is empty"):
        load({"base_url": ""})


@pytest.mark.parametrize(
    "given",
    [["change=CHG1", "stage = a=b, c"], {"stage": "a=b, c", "change": "CHG1"}, ["change=CHG1"] * 2 + ["stage=a=b, c"]],
)
def test_request_metadata_is_read_from_texts_and_from_a_table(given: object, config_file: Path) -> None:
    assert load({"request_metadata": given}, config_file=config_file).metadata == {"change": "CHG1", "stage": "a=b, c"}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["change"], "write it as KEY=VALUE"),
        (["=CHG1"], "write it as KEY=VALUE"),
        (["change= "], "write it as KEY=VALUE"),
        ({"change": 7}, "write it as KEY=VALUE"),
        ({"a=b": "c"}, "write it as KEY=VALUE"),
        (7, "write it as KEY=VALUE"),
        (["change=CHG1", "change=CHG2"], "the key change is given twice"),
        (["change=a\tb"], "can't be printed"),
        (["change=\udcff"], "can't be printed"),
        (["accessbatchrequest=mine"], "access-batch uses the key accessbatchrequest itself"),
    ],
)
def test_metadata_that_can_not_be_sent_is_refused(given: object, why: str, config_file: Path) -> None:
    with pytest.raises(SettingsError, match=re.escape(why)):
        load({"request_metadata": given}, config_file=config_file)
