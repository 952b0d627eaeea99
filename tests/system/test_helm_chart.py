"""deploy/helm/cutout, rendered by Helm's own library; there is no cluster here to install it in."""

import json
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.helm import CHART, HelmRefusedError, ci_values, lint, render, scaling_queries
from support.paths import ROOT

CI = sorted((CHART / "ci").glob("*-values.yaml"))
VERSION = "1.30.0"
"""of Kubernetes' schemas"""
REDIS = {"redis": {"existingSecret": "redis"}}
SET = {"name": "a", "model": "u2netp", "kind": "bulk", "replicas": 1}
CUSTOM = {"ScaledObject", "ServiceMonitor"}
"""Kinds that Kubernetes itself does not define."""


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for found in objects:
        if found["kind"] == "Deployment":
            yield found["metadata"]["name"], found["spec"]["template"]["spec"]
        elif found["kind"] == "Pod":
            yield found["metadata"]["name"], found["spec"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["containers"], *pod.get("initContainers", [])]


def environment(container: dict[str, Any]) -> dict[str, Any]:
    return {row["name"]: row.get("value") for row in container.get("env", [])}


@pytest.fixture(scope="module", params=CI, ids=[path.stem for path in CI])
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return render(yaml.safe_load(request.param.read_text()))


@pytest.mark.parametrize("path", CI, ids=[path.stem for path in CI])
def test_helm_finds_nothing_to_correct(path):
    report = lint(yaml.safe_load(path.read_text()))
    assert report["errors"] == []
    findings = [one["error"] for one in report["messages"]]
    assert findings in ([], ["icon is recommended"])


def test_every_object_is_valid_in_kubernetes(objects):
    assert {"Deployment", "Service"} <= {found["kind"] for found in objects}
    assert [problem for found in objects if (problem := kubernetes_problem(found))] == []


def kubernetes_problem(found: dict[str, Any]) -> str:
    """Return what Kubernetes refuses in an object; empty if nothing, or for a kind of others."""
    if found["kind"] in CUSTOM:
        return ""
    try:
        kubernetes_validate.validate(found, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{found['kind']} {found['metadata']['name']}: {error}"
    return ""


def test_every_scaled_object_is_valid_in_keda():
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    scaled = [one for one in render(ci_values("scaling")) if one["kind"] == "ScaledObject"]
    assert len(scaled) == 3
    for found in scaled:
        assert sorted(unknown_fields(ScaledObject.model_validate(found), found)) == []
        assert found["spec"]["fallback"]["replicas"] >= 1
        [trigger] = found["spec"]["triggers"]
        assert trigger["metricType"] == "AverageValue"  # else KEDA refuses a fallback
        assert found["spec"]["cooldownPeriod"] > 120  # an image in process counts as no backlog


def unknown_fields(model: Any, given: Any, path: str = "") -> Iterator[str]:
    """Yield what a model of KEDA has ignored."""
    if isinstance(given, list):
        for index, one in enumerate(given):
            yield from unknown_fields(model[index], one, f"{path}[{index}]")
    elif isinstance(given, dict) and hasattr(type(model), "model_fields"):
        fields = {info.alias or name: name for name, info in type(model).model_fields.items()}
        for key, value in given.items():
            if key not in fields:
                yield f"{path}.{key}"
            else:
                yield from unknown_fields(getattr(model, fields[key]), value, f"{path}.{key}")


def test_a_misspelt_field_of_keda_is_found():
    from cloudcoil.models.keda.v1alpha1 import ScaledObject

    found = next(one for one in render(ci_values("scaling")) if one["kind"] == "ScaledObject")
    found["spec"]["fallback"]["replica"] = 1
    try:
        unknown = list(unknown_fields(ScaledObject.model_validate(found), found))
    except ValueError:  # the model itself refuses it
        return
    assert unknown == [".spec.fallback.replica"]


def test_scaling_asks_for_metrics_that_are_exported():
    known = set(re.findall(r"`(cutout_\w+)`", (ROOT / "docs/reference/metrics.md").read_text()))
    queries = scaling_queries()
    assert len(queries) == 3
    for query in queries:
        assert set(re.findall(r"cutout_\w+", query)) <= known
        assert "max(sum by (instance)" in query  # two dispatchers export the same numbers


def test_scaling_counts_the_images_of_its_own_release_alone():
    [pipeline] = re.findall(
        r"^PIPELINE = (\d+)$", (ROOT / "contract/recipe.py").read_text(), re.MULTILINE
    )
    own = (f'pipeline="{pipeline}"', f'queue="interactive.u2netp.p{pipeline}"')
    assert [sum(label in query for label in own) for query in scaling_queries()] == [1, 1, 1]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({}, "redis"),
        ({"redis": {"existingSecret": ""}}, "existingSecret"),
        ({**REDIS, "worker": []}, "worker"),
        ({**REDIS, "workers": []}, "workers"),
        ({**REDIS, "workers": [{**SET, "name": "Bulk"}]}, "name"),
        ({**REDIS, "workers": [{**SET, "kind": "fast"}]}, "kind"),
        ({**REDIS, "workers": [{**SET, "memory": "1Gi"}]}, "memory"),
        ({**REDIS, "api": {"enabled": True, "store": "s3://b/w"}}, "keysSecret"),
        ({**REDIS, "api": {"enabled": True, "keysSecret": "k"}}, "store"),
        ({**REDIS, "api": {"enabled": True, "keysSecret": "k", "store": "/web"}}, "store"),
        ({**REDIS, "weights": {"type": "claim"}}, "claim"),
        ({**REDIS, "dispatcher": {"replicas": 0}}, "replicas"),
        ({**REDIS, "metrics": {"port": "9464"}}, "port"),
        ({**REDIS, "timeLimit": 300}, "below visibilityTimeout"),
        ({**REDIS, "workerDefaults": {"autoscaling": {"type": "keda"}}}, "prometheus"),
        ({**REDIS, "timeLimit": "120"}, "timeLimit"),
    ],
)  # fmt: skip
def test_values_that_cannot_work_are_refused(given, what: str):
    with pytest.raises(HelmRefusedError, match=what):
        render(given)


def test_every_pod_is_restricted(objects):
    for name, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]
            assert not container["image"].endswith(("latest", ":"))


def test_the_user_is_that_of_the_images(objects):
    for dockerfile in ("producer", "worker"):
        text = (ROOT / f"deploy/{dockerfile}.Dockerfile").read_text()
        [uid] = re.findall(r"--uid (\d+)", text)
        assert {pod["securityContext"]["runAsUser"] for _, pod in pods(objects)} == {int(uid)}


def test_secrets_are_only_referred_to(objects):
    assert not [found for found in objects if found["kind"] == "Secret"]
    for _, pod in pods(objects):
        for container in containers(pod):
            for row in container.get("env", []):
                if row["name"] in {"CUTOUT_REDIS_URL", "AWS_SECRET_ACCESS_KEY",
                                   "CUTOUT_WEBHOOK_SECRET", "CUTOUT_FLOWER_USERS"}:  # fmt: skip
                    assert row["valueFrom"]["secretKeyRef"]["name"]


def test_every_variable_is_a_setting(objects):
    known = set(re.findall(r"`(CUTOUT_\w+)`", (ROOT / "docs/reference/settings.md").read_text()))
    for _, pod in pods(objects):
        for container in containers(pod):
            named = {name for name in environment(container) if name.startswith("CUTOUT_")}
            assert named <= known


def test_every_process_has_the_same_time_limits(objects):
    long_running = [
        environment(container)
        for _, pod in pods(objects)
        for container in pod["containers"]
        if "CUTOUT_REDIS_URL" in environment(container)
    ]
    assert len({one["CUTOUT_TIME_LIMIT"] for one in long_running}) == 1
    assert len({one["CUTOUT_VISIBILITY_TIMEOUT"] for one in long_running}) == 1


def test_a_worker_may_finish_its_images_before_it_is_killed(objects):
    workers = [(name, pod) for name, pod in pods(objects) if "-worker-" in name]
    assert workers
    for _, pod in workers:
        [container] = pod["containers"]
        limit = float(environment(container)["CUTOUT_TIME_LIMIT"])
        assert pod["terminationGracePeriodSeconds"] >= limit + 30
        probes = [container[f"{kind}Probe"]["exec"]["command"] for kind in ("startup", "liveness")]
        assert probes == [["cutout", "health"]] * 2
        assert container["readinessProbe"]["exec"]["command"] == ["cutout", "health", "--ready"]


def test_every_command_is_one_of_the_command_line(objects):
    reference = (ROOT / "docs/reference/cli.md").read_text()
    for _, pod in pods(objects):
        for container in containers(pod):
            if "command" in container:
                continue
            verb, *options = container["args"]
            assert f"cutout {verb}" in reference
            for option in options:
                assert not option.startswith("-") or option.partition("=")[0] in reference


def test_selectors_find_the_pods_that_they_are_for(objects):
    labels = [
        found["spec"]["template"]["metadata"]["labels"]
        for found in objects
        if found["kind"] == "Deployment"
    ]

    def matching(selector: dict[str, str]) -> int:
        return sum(selector.items() <= one.items() for one in labels)

    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] == "Deployment":
            assert matching(spec["selector"]["matchLabels"]) == 1
        elif found["kind"] == "PodDisruptionBudget":
            assert matching(spec["selector"]["matchLabels"]) == 1
            assert spec["maxUnavailable"] == 1
        elif found["kind"] == "Service":
            count = matching(spec["selector"])
            assert count == (len(labels) if found["metadata"]["name"].endswith("-metrics") else 1)


def test_a_scaled_set_has_no_fixed_number_of_replicas():
    objects = render(ci_values("scaling"))
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in objects
        if one["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}
    }
    assert len(scaled) == 4
    for found in objects:
        if found["metadata"]["name"] in scaled and found["kind"] == "Deployment":
            assert "replicas" not in found["spec"]


def test_each_kind_of_worker_has_its_option():
    arguments = {
        name.rpartition("-")[2]: pod["containers"][0]["args"]
        for name, pod in pods(render(ci_values("full")))
    }
    assert arguments["fine"] == ["worker", "--concurrency=2"]
    assert arguments["quick"] == ["worker", "--interactive"]
    assert arguments["odd"] == ["worker", "--quarantine"]


def test_the_metrics_of_each_process_are_scraped_under_a_job_of_ours():
    [monitor] = [one for one in render(ci_values("full")) if one["kind"] == "ServiceMonitor"]
    others, dispatcher = monitor["spec"]["endpoints"]
    assert [rule.get("action", "replace") for rule in others["relabelings"]] == ["drop", "replace"]
    assert [rule.get("action", "replace") for rule in dispatcher["relabelings"]] == [
        "keep",
        "replace",
    ]
    for endpoint in (others, dispatcher):
        assert endpoint["relabelings"][-1]["replacement"].startswith("cutout-")
    assert 'job=~"cutout.*"' in (ROOT / "deploy/prometheus/rules.yaml").read_text()


def test_each_default_is_described_in_the_schema():
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(described: dict[str, Any], given: dict[str, Any], path: str) -> None:
        own = set(described["properties"]) - {"global"}
        assert own == set(given), path
        for name in own:
            field = described["properties"][name]
            assert field["description"], f"{path}.{name}"
            if "properties" in field:
                compare(field, given[name], f"{path}.{name}")

    compare(schema, defaults, "")
