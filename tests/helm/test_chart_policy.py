# SPDX-License-Identifier: Apache-2.0
"""What a platform team asks of manifests: nobody is root, nothing floats, all is bounded."""

import pytest
from helm.charts import CASES, Manifest, containers, manifests, pods, rendered

SECRET_WORDS = ("password", "token", "secret", "key")


@pytest.fixture(scope="module", params=CASES)
def objects(request: pytest.FixtureRequest) -> list[Manifest]:
    return manifests(rendered(request.param))


def test_nobody_is_root_or_says_why(objects: list[Manifest]) -> None:
    looked = 0
    for name, pod in pods(objects):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] == 10001, name
        assert security["seccompProfile"]["type"] == "RuntimeDefault", name
        notes = pod["metadata"].get("annotations", {})
        for each in containers(pod):
            looked += 1
            own = each["securityContext"]
            assert own["readOnlyRootFilesystem"] is True, name
            if own.get("privileged"):
                assert each["name"] == "agent"
                assert notes["rackwatt/privileged-reason"]
                continue
            assert own["allowPrivilegeEscalation"] is False, name
            assert own["capabilities"]["drop"] == ["ALL"], name
            if own.get("runAsUser") == 0:
                assert each["name"] == "prepare-outbox"
                assert own["capabilities"]["add"] == ["CHOWN"]
                assert notes["rackwatt/root-reason"]
            else:
                assert "runAsUser" not in own, name
                assert "add" not in own["capabilities"], name
    assert looked


def test_no_tag_floats(objects: list[Manifest]) -> None:
    for name, pod in pods(objects):
        for each in containers(pod):
            image = each["image"]
            digest = image.partition("@sha256:")[2]
            tag = image.rpartition(":")[2]
            assert len(digest) == 64 or (tag and tag[0].isdigit()), (name, image)


def test_all_is_bounded(objects: list[Manifest]) -> None:
    for name, pod in pods(objects):
        for each in containers(pod):
            for kind in ("requests", "limits"):
                assert each["resources"][kind].keys() >= {"cpu", "memory"}, name
        for volume in pod["spec"]["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"], name


def test_nobody_holds_a_token_of_the_cluster(objects: list[Manifest]) -> None:
    accounts = [item for item in objects if item["kind"] == "ServiceAccount"]
    assert accounts
    assert all(item["automountServiceAccountToken"] is False for item in accounts)
    for name, pod in pods(objects):
        assert pod["spec"]["automountServiceAccountToken"] is False, name


def test_secrets_are_references_alone(objects: list[Manifest]) -> None:
    assert not [item for item in objects if item["kind"] == "Secret"]
    for name, pod in pods(objects):
        for each in containers(pod):
            for variable in each.get("env", ()):
                secret = any(word in variable["name"].lower() for word in SECRET_WORDS)
                assert not secret or "valueFrom" in variable, name
            for argument in each.get("args", ()):
                option, _, value = argument.partition("=")
                if any(word in option for word in SECRET_WORDS) and option.startswith("--"):
                    assert value.startswith("/etc/rackwatt/"), (name, argument)


def test_every_pod_has_a_network_policy(objects: list[Manifest]) -> None:
    policies = [item["spec"] for item in objects if item["kind"] == "NetworkPolicy"]
    assert policies
    for name, pod in pods(objects):
        if pod["spec"].get("hostNetwork"):
            continue  # none applies to it
        labels = pod["metadata"]["labels"]
        assert any(_selects(policy["podSelector"], labels) for policy in policies), name
    assert all(policy["policyTypes"] == ["Ingress", "Egress"] for policy in policies)


def _selects(selector: Manifest, labels: Manifest) -> bool:
    exact = selector.get("matchLabels", {})
    listed = selector.get("matchExpressions", ())
    return exact.items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in listed
    )


def test_the_campus_reaches_influxdbs_pods() -> None:
    """A policy looks behind the Service: its pods have a port of their own."""
    allowed = {
        port["port"]
        for item in manifests(rendered("tetouan"))
        if item["kind"] == "NetworkPolicy" and item["metadata"]["name"] == "rackwatt-collector"
        for rule in item["spec"]["egress"]
        for port in rule.get("ports", ())
    }
    assert allowed == {53, 8086, 8883}


def test_mounts_and_volumes_belong_together(objects: list[Manifest]) -> None:
    claims = {
        f"data-{item['metadata']['name']}-0" for item in objects if item["kind"] == "StatefulSet"
    } | {item["metadata"]["name"] for item in objects if item["kind"] == "PersistentVolumeClaim"}
    maps = {item["metadata"]["name"] for item in objects if item["kind"] == "ConfigMap"}
    templates = {
        f"{item['kind']}/{item['metadata']['name']}": [
            one["metadata"]["name"] for one in item["spec"].get("volumeClaimTemplates", ())
        ]
        for item in objects
        if "spec" in item
    }
    for name, pod in pods(objects):
        there = {one["name"] for one in pod["spec"]["volumes"]} | {*templates[name]}
        mounted = {one["name"] for each in containers(pod) for one in each["volumeMounts"]}
        assert mounted == there, name
        for volume in pod["spec"]["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, name
            if "configMap" in volume:
                assert volume["configMap"]["name"] in {*maps, "rackwatt-site"}, name
