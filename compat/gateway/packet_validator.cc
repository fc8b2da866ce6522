#include "compat/gateway/packet_validator.h"

#include <utility>

#include "compat/wire/request.h"

namespace om {
namespace {

// A packet that opened, and with what.
struct OpenedWith {
  OpenedPacket packet;
  std::shared_ptr<const Key> key;
};

// Tries the present key, then the previous one. A MAC chooses the key, and one that neither gives
// ends it before anything is decoded: `why` tells.
absl::StatusOr<OpenedWith> OpenWithEither(const PacketRules& rules, const Envelope& envelope,
                                          absl::string_view* why) {
  *why = "does not decrypt";
  absl::Status failed;
  for (const std::shared_ptr<const Key>& key : {rules.key, rules.previous_key}) {
    if (key == nullptr) continue;
    if (envelope.hmac.has_value() && !CheckMac(*key, envelope)) {
      failed = absl::UnauthenticatedError("the MAC is none of the cluster's secret");
      *why = "wrong MAC";
      continue;
    }
    absl::StatusOr<OpenedPacket> opened = OpenPacket(*key, envelope, rules.max_text_bytes);
    if (opened.ok()) return OpenedWith{*std::move(opened), key};
    failed = opened.status();
    *why = "does not decrypt";
    if (envelope.hmac.has_value()) break;  // Its writer knew this key: no other opens it.
  }
  return failed;
}

bool AsksToLeave(const std::string& text) {
  const ParsedRequest parsed = ParseRequest(text);
  return parsed.outcome == ParsedRequest::Outcome::kRequest && parsed.request.action == "leave";
}

}  // namespace

PacketValidator::PacketValidator(
    Blacklist* blacklist, ReplayWindow* replays, NodeNames* names, Counters* counters,
    std::function<void(const AdmissionKey&, int)> blacklisted,
    std::function<void(absl::string_view, const PeerAddress&)> used_previous)
    : blacklist_(blacklist),
      replays_(replays),
      names_(names),
      valid_(counters->Get("packet.valid")),
      ignored_(counters->Get("packet.ignored")),
      dropped_(counters->Get("packet.dropped")),
      invalid_(counters->Get("packet.invalid")),
      replayed_(counters->Get("packet.replayed")),
      blacklistings_(counters->Get("packet.blacklisted")),
      without_mac_(counters->Get("packet.without_mac")),
      wrong_mac_(counters->Get("packet.wrong_mac")),
      previous_(counters->Get("packet.previous_secret")),
      blacklisted_(std::move(blacklisted)),
      used_previous_(std::move(used_previous)),
      rules_(std::make_shared<const PacketRules>()) {}

void PacketValidator::SetRules(PacketRules rules) {
  auto fresh = std::make_shared<const PacketRules>(std::move(rules));
  MutexLock lock(&mutex_);
  rules_ = std::move(fresh);
}

void PacketValidator::SetMember(const std::string& node, bool member) {
  MutexLock lock(&mutex_);
  PacketRules rules = *rules_;
  if (member) {
    rules.nodes.insert(node);
  } else {
    rules.nodes.erase(node);
  }
  rules_ = std::make_shared<const PacketRules>(std::move(rules));
}

std::shared_ptr<const PacketRules> PacketValidator::rules() const {
  MutexLock lock(&mutex_);
  return rules_;
}

PacketVerdict PacketValidator::Check(absl::string_view message, const PeerAddress& from) {
  const std::shared_ptr<const PacketRules> rules = this->rules();
  PacketVerdict verdict = Decide(message, from, *rules);
  verdict.rules = rules;
  switch (verdict.kind) {
    case PacketVerdict::Kind::kRequest:
      valid_->Add();
      break;
    case PacketVerdict::Kind::kIgnored:
      ignored_->Add();
      break;
    case PacketVerdict::Kind::kDropped:
      dropped_->Add();
      break;
    case PacketVerdict::Kind::kInvalid:
      invalid_->Add();
      break;
  }
  return verdict;
}

PacketVerdict PacketValidator::Decide(absl::string_view message, const PeerAddress& from,
                                      const PacketRules& rules) {
  PacketVerdict verdict;
  absl::StatusOr<Envelope> envelope = ParseEnvelope(message);
  if (!envelope.ok()) {
    verdict.why = "not an envelope";
    return verdict;
  }
  verdict.joiner = envelope->clustername == kJoinClusterName;
  if (!verdict.joiner && envelope->clustername != rules.cluster_name) {
    verdict.why = "of another cluster";
    return verdict;
  }
  const bool stranger =
      rules.check_sender && !verdict.joiner && rules.nodes.count(envelope->nodename) == 0;
  if (rules.key == nullptr) {
    verdict.why = "no usable cluster.secret";
    return verdict;
  }
  if (rules.require_mac && !envelope->hmac.has_value()) {
    without_mac_->Add();
    verdict.why = "has no MAC";
    return verdict;
  }
  if (stranger) return DecideStranger(*std::move(envelope), from, rules);
  const AdmissionKey sender = names_->KeyOf(from);
  if (blacklist_->IsBlacklisted(sender)) {
    verdict.kind = PacketVerdict::Kind::kDropped;
    verdict.why = "sender is blacklisted";
    return verdict;
  }
  absl::string_view why;
  absl::StatusOr<OpenedWith> opened = OpenWithEither(rules, *envelope, &why);
  if (!opened.ok()) {
    if (why == "wrong MAC") wrong_mac_->Add();
    return Invalid(sender, why);
  }
  if (rules.check_replay && !replays_->Insert(opened->packet.digest)) {
    replayed_->Add();
    return Invalid(sender, "seen before");
  }
  blacklist_->RecordValid(sender);
  verdict.key = std::move(opened->key);
  Accept(std::move(opened->packet), *std::move(envelope), from, rules, &verdict);
  return verdict;
}

// Nothing is counted, as with all that is not for us, and nothing clears a count.
PacketVerdict PacketValidator::DecideStranger(Envelope envelope, const PeerAddress& from,
                                              const PacketRules& rules) {
  PacketVerdict verdict;
  verdict.why = "sender is no cluster node";
  if (blacklist_->IsBlacklisted(names_->KeyOf(from))) return verdict;
  absl::string_view why;
  absl::StatusOr<OpenedWith> opened = OpenWithEither(rules, envelope, &why);
  if (!opened.ok() || !AsksToLeave(opened->packet.text)) return verdict;
  if (rules.check_replay && !replays_->Insert(opened->packet.digest)) {
    replayed_->Add();
    return verdict;
  }
  verdict.key = std::move(opened->key);
  Accept(std::move(opened->packet), std::move(envelope), from, rules, &verdict);
  return verdict;
}

void PacketValidator::Accept(OpenedPacket opened, Envelope envelope, const PeerAddress& from,
                             const PacketRules& rules, PacketVerdict* verdict) {
  verdict->kind = PacketVerdict::Kind::kRequest;
  verdict->text = std::move(opened.text);
  verdict->nodename = std::move(envelope.nodename);
  verdict->mac = envelope.hmac.has_value() ? PacketMac::kAttached : PacketMac::kNone;
  if (verdict->key != rules.key) {
    previous_->Add();
    if (used_previous_ != nullptr) used_previous_(verdict->nodename, from);
  }
}

PacketVerdict PacketValidator::Invalid(const AdmissionKey& sender, absl::string_view why) {
  const Blacklist::InvalidResult result = blacklist_->RecordInvalid(sender);
  if (result.became_blacklisted) {
    blacklistings_->Add();
    blacklisted_(sender, result.count);
  }
  PacketVerdict verdict;
  verdict.kind = PacketVerdict::Kind::kInvalid;
  verdict.why = why;
  return verdict;
}

}  // namespace om
