"""Sharing equal parts of records changes their size and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from contivpp.agent.sharing import Sharing
from contivpp.model import codec
from contivpp.model.labels import sorted_labels
from contivpp.model.pod import Container, ContainerPort, Pod, Protocol
from contivpp.model.service import Service

names = st.sampled_from(["", "a", "b"])
mappings = st.dictionaries(names, names, max_size=3)
containers = st.builds(
    Container,
    name=names,
    port=st.lists(
        st.builds(
            ContainerPort, container_port=st.integers(0, 1), protocol=st.sampled_from(Protocol), sctp=st.booleans()
        )
    ).map(tuple),
)
pods = st.builds(
    Pod,
    name=names,
    namespace=names,
    label=mappings.map(sorted_labels),
    labels=mappings,
    annotations=mappings,
    container=st.lists(containers, max_size=2).map(tuple),
    host_network=st.booleans(),
    node_name=names,
)


@given(found=st.lists(pods, max_size=12), limit=st.integers(1, 8))
def test_a_shared_record_is_the_record(found: list[Pod], limit: int) -> None:
    sharing = Sharing(limit)
    for pod in found:
        shared = sharing.record(pod)
        assert shared == pod
        assert codec.encode(shared) == codec.encode(pod)


def test_pods_of_one_workload_share_what_is_equal() -> None:
    def pod(name: str) -> Pod:
        labels = {"app": "web", "tier": "front"}
        port = ContainerPort(container_port=80)
        container = (Container(name="main", port=(port,)),)
        return Pod(name=name, labels=labels, label=sorted_labels(labels), container=container)

    sharing = Sharing()
    one, two = sharing.record(pod("one")), sharing.record(pod("two"))
    assert one.labels is two.labels
    assert one.label is two.label
    assert one.container is two.container


def test_other_records_stay_as_they_are() -> None:
    service = Service(name="web", selector={"app": "web"})
    assert Sharing().record(service) is service
