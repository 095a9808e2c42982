"""What the parts of deploy/ say of each other, and no schema knows: names of hosts, secrets, and times to end. Called by deploy/check.

    check_references.py compose MODEL.json FOLDER_OF_SECRETS
    check_references.py kubernetes MANIFESTS.yaml SECRETS.yaml

Says each fault with its remedy and ends with 1 when there is one.
"""

import json
import os
import re
import sys
import tomllib

import yaml

# kafka://a:9092,b:9092 and http://a:8080
HOST = re.compile(r"(?:://|,)([a-z0-9.-]+):\d+")


def seconds(text):
    """Seconds of a duration as compose writes it: 1m30s."""
    return sum(int(n) * {"h": 3600, "m": 60, "s": 1}[unit] for n, unit in re.findall(r"(\d+)([hms])", text))


def compose(model, made):
    """Faults of compose.yaml, as compose-go has resolved it. `made`: names of the files that make-secrets makes."""
    services = model["services"]
    ours = {name: service for name, service in services.items() if service["image"].startswith("qipp:")}
    if not ours:
        yield "no service runs the image qipp"
    for name, service in services.items():
        for mount in service.get("volumes", []):
            if mount["type"] == "bind" and not os.path.exists(mount["source"]):
                yield f"{name} mounts {mount['source']}, which is not there"
    for name, service in ours.items():
        settings = service["environment"]
        if seconds(service["stop_grace_period"]) <= int(settings["QIPP_SERVE__GRACE_SECONDS"]):
            yield f"{name} is killed after {service['stop_grace_period']}: raise it above QIPP_SERVE__GRACE_SECONDS"
        hosts = [host for key, value in settings.items() if key.startswith(("QIPP_SERVE__LOG", "QIPP_SERVE__PEERS")) for host in HOST.findall(value)]
        if not hosts:
            yield f"{name} knows neither brokers nor peers"
        for host in hosts:
            if host not in services:
                yield f"{name} names {host}, and there is no such service"
            elif not set(services[host]["networks"]) & set(service["networks"]):
                yield f"{name} names {host}, and no network has both"
    for name, secret in model["secrets"].items():
        if os.path.basename(secret["file"]) not in made:
            yield f"the secret {name} is {secret['file']}, which compose/make-secrets does not make"


def pods(manifests):
    """Names under which the pods of StatefulSets are reached."""
    for manifest in manifests:
        if manifest["kind"] == "StatefulSet":
            spec = manifest["spec"]
            for number in range(spec["replicas"]):
                yield f"{manifest['metadata']['name']}-{number}.{spec['serviceName']}"


def secrets_of(pod):
    """Secrets that a pod needs."""
    yield from (volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
    for container in pod["containers"]:
        for variable in container.get("env", []):
            if "secretKeyRef" in variable.get("valueFrom", {}):
                yield variable["valueFrom"]["secretKeyRef"]["name"]


def kubernetes(manifests, secrets):
    """Faults of the manifests, as kustomize has built them."""
    known = {secret["metadata"]["name"] for secret in secrets}
    configurations = {m["metadata"]["name"]: m["data"]["qipp.toml"] for m in manifests if m["kind"] == "ConfigMap"}
    reached = set(pods(manifests)) | {m["metadata"]["name"] for m in manifests if m["kind"] == "Service" and m["spec"].get("clusterIP") != "None"}
    named = {host for text in configurations.values() for host in HOST.findall(text)}
    for host in sorted(named - reached):
        yield f"the configuration names {host}, and there is no such service or pod"
    for host in sorted(set(pods(manifests)) - named):
        yield f"no configuration names the pod {host}: add it to gateway.toml or qipp.toml"
    for manifest in manifests:
        if manifest["kind"] not in ("Deployment", "StatefulSet"):
            continue
        name, pod = manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]
        for secret in secrets_of(pod):
            if secret not in known:
                yield f"{name} needs the secret {secret}, which is not in secrets.example.yaml"
        for volume in pod["volumes"]:
            if "configMap" in volume:
                grace = tomllib.loads(configurations[volume["configMap"]["name"]])["serve"]["grace_seconds"]
                wait = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
                if pod["terminationGracePeriodSeconds"] <= grace + wait:
                    yield f"{name} is killed after {pod['terminationGracePeriodSeconds']} s: raise it above {grace} (grace_seconds) and {wait} (preStop)"


def manifests(path):
    """All documents of a file."""
    with open(path) as file:
        return [document for document in yaml.safe_load_all(file) if document]


def main(what, path, *more):
    """Prints what is wrong, and says with the exit code whether anything is."""
    if what == "compose":
        with open(path) as file:
            wrong = list(compose(json.load(file), os.listdir(more[0])))
    else:
        wrong = list(kubernetes(manifests(path), manifests(more[0])))
    print("\n".join(wrong))
    return 1 if wrong else 0


sys.exit(main(*sys.argv[1:]))
