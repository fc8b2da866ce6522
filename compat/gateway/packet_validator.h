// Decides what a message on the packet port is worth.
#ifndef OM_COMPAT_GATEWAY_PACKET_VALIDATOR_H_
#define OM_COMPAT_GATEWAY_PACKET_VALIDATOR_H_

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "compat/gateway/action_filter.h"
#include "compat/wire/crypto.h"
#include "compat/wire/envelope.h"
#include "server/admission/blacklist.h"
#include "server/admission/node_names.h"
#include "server/admission/replay_window.h"
#include "server/base/counters.h"
#include "server/base/mutex.h"

namespace om {

// What packets are checked against. Replaced whole when the configuration changes.
struct PacketRules {
  std::string cluster_name;     // Lower case.
  std::set<std::string> nodes;  // Names that may send.
  bool check_sender = true;     // Off: any name may.
  bool check_replay = true;
  std::shared_ptr<const Key> key;  // Null: no usable secret, every packet is ignored.
  // Of the secret before this one, while it is still accepted. May be null.
  std::shared_ptr<const Key> previous_key;
  bool require_mac = false;  // Packets without a MAC are ignored.
  // Of those that come encrypted.
  std::shared_ptr<const ActionFilter> actions = std::make_shared<const ActionFilter>();
  size_t max_text_bytes = kDefaultMaxTextBytes;
};

struct PacketVerdict {
  enum class Kind {
    kRequest,  // `text` is a request of `nodename`.
    kIgnored,  // Not ours, or nonsense: not counted.
    kDropped,  // The sender is blacklisted: not counted, nothing was decrypted.
    kInvalid,  // Counted.
  };
  Kind kind = Kind::kIgnored;
  std::string text;
  std::string nodename;
  bool joiner = false;    // Came under the cluster name `join`.
  absl::string_view why;  // One fixed phrase, for counters and logs; never tells a secret.
  // What an answer is encrypted with: the key the request was, whatever is configured by then.
  std::shared_ptr<const Key> key;
  // An answer to a request that had a MAC has one, too.
  PacketMac mac = PacketMac::kNone;
  // What was in force when the packet was checked.
  std::shared_ptr<const PacketRules> rules;
};

// Checks in this order: envelope, cluster name, sender name (not for `join`), blacklist, then the
// MAC if there is one, decryption, and last whether the packet was seen before. Two keys are tried
// at most, and a packet that opens with neither counts once.
//
// A sender that is no node of the cluster is ignored, whatever it sends, but for one thing: a node
// that is none any more may ask once more to leave. THREAD: any.
class PacketValidator {
 public:
  // All borrowed. `blacklisted` is told, on the calling thread, of an address that this message
  // blacklisted; `used_previous`, if given, of a request that came under the previous key.
  PacketValidator(
      Blacklist* blacklist, ReplayWindow* replays, NodeNames* names, Counters* counters,
      std::function<void(const AdmissionKey&, int count)> blacklisted,
      std::function<void(absl::string_view node, const PeerAddress&)> used_previous = nullptr);

  void SetRules(PacketRules rules) EXCLUDES(mutex_);
  // Hears `node` from now on, or no longer: ahead of the rules that come with the configuration.
  void SetMember(const std::string& node, bool member) EXCLUDES(mutex_);
  std::shared_ptr<const PacketRules> rules() const EXCLUDES(mutex_);

  PacketVerdict Check(absl::string_view message, const PeerAddress& from) EXCLUDES(mutex_);

 private:
  PacketVerdict Decide(absl::string_view message, const PeerAddress& from,
                       const PacketRules& rules);
  PacketVerdict Invalid(const AdmissionKey& sender, absl::string_view why);
  // What a sender that is no node gets.
  PacketVerdict DecideStranger(Envelope envelope, const PeerAddress& from,
                               const PacketRules& rules);
  void Accept(OpenedPacket opened, Envelope envelope, const PeerAddress& from,
              const PacketRules& rules, PacketVerdict* verdict);

  Blacklist* const blacklist_;   // Not owned.
  ReplayWindow* const replays_;  // Not owned.
  NodeNames* const names_;       // Not owned.
  Counter* const valid_;         // Not owned, as the others.
  Counter* const ignored_;
  Counter* const dropped_;
  Counter* const invalid_;
  Counter* const replayed_;
  Counter* const blacklistings_;
  Counter* const without_mac_;
  Counter* const wrong_mac_;
  Counter* const previous_;
  const std::function<void(const AdmissionKey&, int)> blacklisted_;
  const std::function<void(absl::string_view, const PeerAddress&)> used_previous_;
  mutable Mutex mutex_;
  std::shared_ptr<const PacketRules> rules_ GUARDED_BY(mutex_);
};

}  // namespace om

#endif  // OM_COMPAT_GATEWAY_PACKET_VALIDATOR_H_
