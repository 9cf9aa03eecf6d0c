"""Local pods: what the kubelet asks for through CNI, and what this node remembers of it."""
