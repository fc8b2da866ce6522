// Who asks, and what they may. Doors make a Caller; the service layer checks it, once, for every
// transport, against the one table of operations.
#ifndef OM_SERVER_SERVICE_CALLER_H_
#define OM_SERVER_SERVICE_CALLER_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/auth/grants.h"

namespace om {

enum class Transport {
  kGrpcUnix,
  kGrpcTcp,
  kPacket,       // AES packets over TCP.
  kLocalPacket,  // Clear packets over the Unix socket.
};
absl::string_view TransportName(Transport transport);

// The originator of a request. A value; made by a door after it has established the facts.
struct Caller {
  enum class Kind {
    kGuest,      // Nobody in particular: no certificate, no token; or a local user without rights.
    kLocalRoot,  // Unix socket, user root or the user the daemon runs as.
    kGroup,      // Unix socket, a member of the configured group. Holds `grants`.
    kUser,       // A user object, by certificate or token. Holds `grants`.
    kNode,       // Sender of a valid packet, or of a node's certificate: is root.
    kJoiner,     // Sender of a packet under the cluster name `join`: only what joining needs.
  };
  Kind kind = Kind::kGuest;
  // Of a node, joiner or user; empty otherwise. Of a packet it is a claim: never decide by it who
  // may do what.
  std::string name;
  // Network address, or "local".
  std::string address;
  Transport transport = Transport::kGrpcTcp;
  // What a kGroup or kUser holds; the others' rights follow from their kind.
  Grants grants = {};
  // A guest that came over TLS without showing anything: it may ask who it is and whether omd is
  // well, and sees nothing else. Guests of this host may look at states.
  bool is_blind = false;
  // How it was established, for the audit log: "certificate 3f09", "token 51c2-...", "uid 1000".
  std::string credential = {};
  // When that ends. Unset: it does not.
  std::optional<absl::Time> expire_time = {};
  // The node that passed the call on for this caller, which was authorised, too. Empty: it asked
  // here itself.
  std::string forwarder = {};

  // Whether it holds `role` on the namespace `ns` ("root" is that of bare names).
  bool Holds(Role role, absl::string_view ns) const;
  // On some namespace.
  bool HoldsSomewhere(Role role) const;
  // On every namespace there can be.
  bool HoldsEverywhere(Role role) const;
  // "root on the local socket", "node node2 (10.0.0.2, packet)": for logs.
  std::string ToString() const;
};

// On what an operation's role must be held.
enum class Scope {
  kCluster,  // Every namespace.
  kAny,      // At least one. What it answers is of the caller's namespaces only.
  kObject,   // The namespace of the object that the request names.
};

// What else is to be known of an operation. Bits.
enum OperationFlags : unsigned {
  kReads = 0,
  kChanges = 1,       // Changes something: such requests are logged and audited.
  kForJoiners = 2,    // Packets under the cluster name `join` may ask for it, whatever the role.
  kForStrangers = 4,  // Callers of kind kGuest may ask for it.
};

// One row of the table of operations.
struct OperationRule {
  // "om.control.v1.DaemonService/GetStatus" for an RPC, "daemon_status" for a packet action.
  absl::string_view operation;
  // The least that is asked for. Some operations ask for more, depending on the request.
  Role role;
  Scope scope = Scope::kCluster;
  unsigned flags = kReads;

  bool changes() const { return (flags & kChanges) != 0; }
  bool for_joiners() const { return (flags & kForJoiners) != 0; }
  bool for_strangers() const { return (flags & kForStrangers) != 0; }
};
// All operations of both doors, each once.
const std::vector<OperationRule>& OperationRules();
const OperationRule* FindOperationRule(absl::string_view operation);

// OK if `caller` may do `operation` at all: of one with Scope::kObject, on some object.
// PERMISSION_DENIED, reason ROLE_MISSING, if not; an operation without a row is refused to
// everyone.
absl::Status Authorize(const Caller& caller, absl::string_view operation);
// OK if it may on objects of namespace `ns`.
absl::Status Authorize(const Caller& caller, absl::string_view operation, absl::string_view ns);
// For operations whose request decides which role they need: OK if `caller` holds `role` on the
// namespace `ns`, or everywhere if there is none; else PERMISSION_DENIED, reason ROLE_MISSING.
// Authorize() goes first: it knows strangers and joiners.
absl::Status RequireRole(const Caller& caller, absl::string_view operation, Role role,
                         std::optional<absl::string_view> ns);

}  // namespace om

#endif  // OM_SERVER_SERVICE_CALLER_H_
