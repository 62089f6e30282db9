"""Who holds the permission of a host? Its agent: the node key, the session, all leases, the orders and the sockets."""
