"""Which configuration counts for this node: the file's, or that of its record in etcd.

The record wins as a whole, unless `crdNodeConfigurationDisabled` says that records do not count. One that cannot
be used is refused: the last one that could stays, also across a restart of the agent, for it is kept in the
local file. Without any the file's entry counts. Source: spec/agent.md 3.2.
"""

from __future__ import annotations

import logging
from typing import Any

from contivpp.agent.pods.registry import KeptTable
from contivpp.model import codec, keys, nodeconfig
from contivpp.model.config import ContivConfig
from contivpp.model.nodeconfig import NodeConfigRecord, Unreadable
from contivpp.model.options import ConfigError

log = logging.getLogger(__name__)

KIND = "nodeconfig"


class NodeConfigSource:
    """Chooses between file and record; asks nobody and remembers what was good."""

    def __init__(self, config: ContivConfig, node_name: str, kept: KeptTable) -> None:
        """Takes the file, the node that it was read for, and the table for the last good record."""
        self._file = config
        self._node_name = node_name
        self._kept = kept
        self._key = keys.record_key(KIND, node_name)
        self._refused: Any | None = None
        self.problem = ""

    def choose(self, record: NodeConfigRecord | Unreadable | None) -> ContivConfig:
        """The configuration that counts while etcd holds `record`."""
        if self._file.crd_node_configuration_disabled:
            return self._file
        if record is None:
            self._refused, self.problem = None, ""
            self._kept.delete(self._node_name)
            return self._file
        try:
            if isinstance(record, Unreadable):
                raise ConfigError(self._key, [f"the record: {record.problem}; write it anew, or delete it"])
            config = nodeconfig.apply(self._file, record, node_name=self._node_name, source=self._key)
        except ConfigError as error:
            last, config = self._last_good()
            self.problem = f"refused, {last} stays in force: {error}"
            if record != self._refused:
                self._refused = record
                log.error("%s", self.problem)
            return config
        self._refused, self.problem = None, ""
        self._kept.put(self._node_name, codec.encode(record))
        return config

    def _last_good(self) -> tuple[str, ContivConfig]:
        kept = self._kept.load().get(self._node_name)
        if kept is not None:
            try:
                record = codec.decode(NodeConfigRecord, kept)
                return "the record before it", nodeconfig.apply(
                    self._file, record, node_name=self._node_name, source=self._key
                )
            except (codec.DecodeError, ConfigError) as error:
                log.warning("the last good record does not fit the file any more: %s", error)
        return "the file's entry", self._file
