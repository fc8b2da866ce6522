// Who is at the other end of a connection, as the kernel tells it.
#ifndef OM_SERVER_RPC_PEER_H_
#define OM_SERVER_RPC_PEER_H_

#include <sys/types.h>

#include "server/admission/address.h"

namespace om {

// What a connection may be trusted with before any token or certificate is looked at.
enum class PeerClass {
  kGuest,  // Came over TCP: nobody in particular.
  kOther,  // A local user with no standing of its own.
  kGroup,  // A local user of the trusted group.
  kRoot,   // Local root, or the user the daemon runs as.
};

// A value type. Credentials are those the peer had when it connected, from SO_PEERCRED.
struct Peer {
  PeerClass peer_class = PeerClass::kGuest;
  bool is_unix = false;
  PeerAddress address;                 // Of a TCP peer.
  uid_t uid = static_cast<uid_t>(-1);  // The following of a Unix peer.
  gid_t gid = static_cast<gid_t>(-1);
  pid_t pid = 0;
};

}  // namespace om

#endif  // OM_SERVER_RPC_PEER_H_
