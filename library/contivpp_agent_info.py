#!/usr/bin/python
"""Ansible module: what an agent says of itself."""

DOCUMENTATION = """
---
module: contivpp_agent_info
short_description: Waits for an agent's state and reports it
description:
  - Asks a node's agent over HTTP whether it is alive and ready, why not, and which part of the network it has. Changes
    nothing.
options:
  url:
    description: Where the agent listens, without a path.
    type: str
    default: http://127.0.0.1:9999
  state:
    description:
      - The state to wait for. V(reachable) is any answer, V(alive) that it does not hang, V(ready) that the node is
        part of the network, V(stopped) that nobody answers.
      - V(any) waits for nothing and never fails because of the agent.
    type: str
    choices: [any, reachable, alive, ready, stopped]
    default: any
  timeout:
    description: Seconds to wait; then the module fails with what the agent waits for.
    type: int
    default: 60
  sleep:
    description: Seconds between two questions.
    type: float
    default: 1
  url_username:
    description: The user, where the agent wants one.
    type: str
    default: ""
  url_password:
    description: The password of O(url_username).
    type: str
    default: ""
  ca_path:
    description: The certificate that the agent's is verified by; with an address of https.
    type: path
  client_cert:
    description: The certificate to be known by.
    type: path
  client_key:
    description: The key of O(client_cert), where it is not in the same file.
    type: path
author:
  - Contiv-VPP (@contiv)
"""

EXAMPLES = """
- name: Wait until the node is part of the network
  contivpp_agent_info:
    state: ready
    timeout: 120

- name: See how the agent is, whatever it is
  contivpp_agent_info:
  register: agent

- name: Wait until it has ended
  contivpp_agent_info:
    state: stopped
"""

RETURN = """
agent:
  description: What is known of the agent.
  type: dict
  returned: success
  contains:
    reachable: {description: Whether it answers., type: bool, returned: success}
    alive: {description: Whether it does not hang., type: bool, returned: success}
    ready: {description: Whether the node is part of the network., type: bool, returned: success}
    reason: {description: What it waits for; empty when it is ready., type: str, returned: success}
    started: {description: Since when it runs, in seconds since the epoch., type: int, returned: success}
    node: {description: The node's part of the address plan; empty until it has one., type: dict, returned: success}
    dataplane: {description: Which data plane it has, and how VPP is., type: dict, returned: success}
    pods: {description: How many pods it has connected; null when it does not say., type: int, returned: success}
elapsed:
  description: Seconds that were waited.
  type: float
  returned: success
problems:
  description: One sentence per reason, with its remedy.
  type: list
  elements: str
  returned: failure
"""

import re

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.contivpp.host import agent
from ansible.module_utils.contivpp.host.system import HostError


def main():
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "default": "http://127.0.0.1:9999"},
            "state": {"type": "str", "choices": ["any", *agent.STATES], "default": "any"},
            "timeout": {"type": "int", "default": 60},
            "sleep": {"type": "float", "default": 1},
            "url_username": {"type": "str", "default": ""},
            "url_password": {"type": "str", "default": "", "no_log": True},
            "ca_path": {"type": "path"},
            "client_cert": {"type": "path"},
            "client_key": {"type": "path", "no_log": False},
        },
        required_by={"client_key": "client_cert"},
        supports_check_mode=True,
    )
    given = module.params
    url = given["url"].rstrip("/")
    if not re.fullmatch(r"https?://[^/\s]+", url):
        module.fail_json(msg="%r is not an address such as http://127.0.0.1:9999" % given["url"], problems=[])
    if given["timeout"] < 0 or given["sleep"] <= 0:
        module.fail_json(msg="timeout and sleep are seconds: give numbers above 0", problems=[])
    try:
        fetch = agent.fetcher(
            user=given["url_username"],
            password=given["url_password"],
            ca=given["ca_path"] or "",
            cert=given["client_cert"] or "",
            key=given["client_key"] or "",
        )
        if given["state"] == "any":
            found, elapsed = agent.ask(url, fetch), 0.0
        else:
            found, elapsed = agent.wait(url, fetch, given["state"], seconds=given["timeout"], every=given["sleep"])
    except HostError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    module.exit_json(changed=False, agent=found.as_dict(), elapsed=round(elapsed, 2))


if __name__ == "__main__":
    main()
