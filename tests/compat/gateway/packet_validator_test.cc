#include "compat/gateway/packet_validator.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "compat/wire/encoding.h"
#include "compat/wire/frame.h"
#include "server/base/file.h"
#include "server/base/json.h"
#include "tests/support/fake_clock.h"
#include "tests/support/fake_loop.h"
#include "tests/support/fake_random.h"
#include "tests/support/golden.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Kind = PacketVerdict::Kind;

constexpr char kClusterSecret[] = "0123456789abcdef0123456789abcdef";
constexpr char kOtherSecret[] = "ffffffffffffffffffffffffffffffff";

std::string Text(const Json& value, const char* key) { return value.at(key).get<std::string>(); }

PeerAddress Address(const std::string& text) {
  absl::StatusOr<PeerAddress> address = PeerAddress::Parse(text);
  EXPECT_THAT(address, IsOk());
  return *address;
}

// A validator of node1 in the cluster `demo` of node1 and node2, with all that it works on.
class PacketValidatorTest : public ::testing::Test {
 protected:
  PacketValidatorTest() { validator_.SetRules(Rules()); }

  static PacketRules Rules() {
    PacketRules rules;
    rules.cluster_name = "demo";
    rules.nodes = {"node1", "node2"};
    rules.key = std::make_shared<const Key>(*Key::FromSecret(kClusterSecret));
    return rules;
  }

  // A packet as it comes out of the frame, each with an IV of its own.
  std::string Packet(const std::string& secret = kClusterSecret,
                     const std::string& cluster = "demo", const std::string& node = "node2") {
    std::string packet =
        Seal(*Key::FromSecret(secret), &random_, cluster, node, R"({"action": "daemon_status"})");
    packet.pop_back();  // The NUL is the frame's.
    return packet;
  }
  std::string BadPacket() { return Packet(kOtherSecret); }

  PacketVerdict Check(const std::string& message, const std::string& from = "10.0.0.2") {
    return validator_.Check(message, Address(from));
  }
  Kind KindOf(const std::string& message, const std::string& from = "10.0.0.2") {
    return Check(message, from).kind;
  }
  int CountOf(const std::string& from = "10.0.0.2") {
    for (const Blacklist::Entry& entry : blacklist_.Entries()) {
      if (entry.key.ToString() == from) return entry.count;
    }
    return 0;
  }
  void BlacklistSender() {
    while (!blacklist_.IsBlacklisted(AdmissionKey(Address("10.0.0.2"), false))) {
      ASSERT_EQ(KindOf(BadPacket()), Kind::kInvalid);
    }
  }
  int64_t Counted(const char* name) { return counters_.Get(name)->value(); }

  FakeClock clock_;
  InlineExecutor executor_;
  NodeNames names_{[](const std::string&) { return std::vector<PeerAddress>(); }, &executor_,
                   &clock_};
  Blacklist blacklist_{Blacklist::Options{}};
  ReplayWindow replays_;
  Counters counters_;
  FakeSecureRandom random_;
  std::vector<std::pair<std::string, int>> blacklisted_;
  PacketValidator validator_{&blacklist_, &replays_, &names_, &counters_,
                             [this](const AdmissionKey& key, int count) {
                               blacklisted_.emplace_back(key.ToString(), count);
                             }};
};

TEST_F(PacketValidatorTest, APacketOfANodeIsARequest) {
  const PacketVerdict verdict = Check(Packet());
  EXPECT_EQ(verdict.kind, Kind::kRequest);
  EXPECT_EQ(verdict.text, R"({"action": "daemon_status"})");
  EXPECT_EQ(verdict.nodename, "node2");
  EXPECT_FALSE(verdict.joiner);
  EXPECT_EQ(verdict.key, validator_.rules()->key);
  EXPECT_EQ(Counted("packet.valid"), 1);
}

TEST_F(PacketValidatorTest, EveryRecordedPacketIsClassifiedAsRecommended) {
  const Json golden = GoldenJson("compat/negative.json");
  int checked = 0;
  for (const Json& vector : golden["vectors"]) {
    SCOPED_TRACE(Text(vector, "name"));
    // The recordings were made with a blacklist cleared before each packet; replays are tested
    // apart, for the recorded agents accept them.
    blacklist_.Clear();
    const std::string sent = vector.contains("send_b64") ? *DecodeBase64(Text(vector, "send_b64"))
                                                         : Text(vector, "send_text");
    RequestReader reader;
    reader.Feed(sent);
    if (vector["half_close_after_send"].get<bool>()) reader.Finish();
    if (reader.state() != RequestReader::State::kComplete ||
        reader.kind() != RawRequestKind::kMessage) {
      continue;  // Ends in the frame.
    }
    ReplayWindow none;
    PacketValidator validator(&blacklist_, &none, &names_, &counters_,
                              [](const AdmissionKey&, int) {});
    validator.SetRules(Rules());
    const PacketVerdict verdict = validator.Check(reader.TakeText(), Address("10.0.0.2"));
    const std::string wanted =
        Text(vector, vector.contains("recommended") ? "recommended" : "expected");
    const std::string met = verdict.kind == Kind::kRequest   ? "accepted"
                            : verdict.kind == Kind::kInvalid ? "counted"
                                                             : "ignored";
    EXPECT_TRUE(absl::StartsWith(wanted, met)) << met << " for " << wanted;
    EXPECT_EQ(CountOf(), met == "counted" ? 1 : 0);
    ++checked;
  }
  EXPECT_GT(checked, 70);
}

TEST_F(PacketValidatorTest, TheRecordedSequenceBlacklistsAtFiveAndStaysThereUntilCleared) {
  // The recorded agents need six invalid messages; at the fifth we are through.
  const Json golden = GoldenJson("compat/blacklist_sequence.json");
  PacketRules rules = Rules();
  rules.check_sender = false;
  rules.check_replay = false;  // As the agents.
  validator_.SetRules(rules);
  bool blacklisted = false;
  int expected = 0;
  int checked = 0;
  for (const Json& step : golden["steps"]) {
    SCOPED_TRACE(Text(step, "step"));
    if (!step.contains("send_text")) {
      // Over the clear socket.
      if (absl::StrContains(Text(step, "step"), "clear")) {
        blacklist_.Clear();
        blacklisted = false;
        expected = 0;
      }
      continue;
    }
    const std::string recorded = Text(step["observed"]["1.9"], "class");
    std::string sent = Text(step, "send_text");
    sent.pop_back();
    const Kind kind = KindOf(sent);
    if (recorded == "counted") {
      if (blacklisted) {
        EXPECT_EQ(kind, Kind::kDropped);
      } else {
        EXPECT_EQ(kind, Kind::kInvalid);
        ++expected;
      }
    } else if (recorded == "accepted") {
      EXPECT_EQ(kind, blacklisted ? Kind::kDropped : Kind::kRequest);
      if (!blacklisted) expected = 0;
    } else {
      EXPECT_EQ(kind, blacklisted && kind != Kind::kIgnored ? Kind::kDropped : Kind::kIgnored);
    }
    blacklisted = blacklisted || expected == 5;
    EXPECT_EQ(CountOf(), expected);
    ++checked;
  }
  EXPECT_GE(checked, 10);
  EXPECT_THAT(blacklisted_, ::testing::Contains(std::make_pair(std::string("10.0.0.2"), 5)));
}

TEST_F(PacketValidatorTest, TheFifthInvalidMessageInARowBlacklistsAndIsToldOnce) {
  for (int i = 1; i <= 4; ++i) {
    EXPECT_EQ(KindOf(BadPacket()), Kind::kInvalid);
    EXPECT_EQ(CountOf(), i);
    EXPECT_THAT(blacklisted_, IsEmpty());
  }
  EXPECT_EQ(KindOf(BadPacket()), Kind::kInvalid);
  EXPECT_THAT(blacklisted_, ElementsAre(std::make_pair("10.0.0.2", 5)));
  EXPECT_EQ(KindOf(BadPacket()), Kind::kDropped);
  EXPECT_THAT(blacklisted_, ElementsAre(std::make_pair("10.0.0.2", 5)));
  EXPECT_EQ(Counted("packet.invalid"), 5);
  EXPECT_EQ(Counted("packet.blacklisted"), 1);
  EXPECT_EQ(Counted("packet.dropped"), 1);
}

TEST_F(PacketValidatorTest, ABlacklistedSendersMessagesAreDroppedBeforeDecryptionAndNotCounted) {
  BlacklistSender();
  const std::string valid = Packet();
  EXPECT_EQ(KindOf(valid), Kind::kDropped);
  EXPECT_EQ(KindOf(BadPacket()), Kind::kDropped);
  EXPECT_EQ(CountOf(), 5);
  // Nothing was decrypted: its digest is not known, and once the way is free it is a first copy.
  EXPECT_EQ(replays_.size(), 0u);
  blacklist_.Clear();
  EXPECT_EQ(KindOf(valid), Kind::kRequest);
}

TEST_F(PacketValidatorTest, OthersAreNotShutOutWithABlacklistedSender) {
  BlacklistSender();
  EXPECT_EQ(KindOf(Packet(), "10.0.0.3"), Kind::kRequest);
  EXPECT_EQ(KindOf(Packet(), "10.0.0.2"), Kind::kDropped);
}

TEST_F(PacketValidatorTest, WhatIsNotForUsIsIgnoredBeforeTheBlacklistIsAsked) {
  BlacklistSender();
  EXPECT_EQ(Check("no envelope").why, "not an envelope");
  EXPECT_EQ(Check(Packet(kClusterSecret, "other")).why, "of another cluster");
  EXPECT_EQ(Check(Packet(kClusterSecret, "Demo")).why, "of another cluster");
  EXPECT_EQ(Check(Packet(kClusterSecret, "demo", "stranger")).why, "sender is no cluster node");
  EXPECT_EQ(Counted("packet.ignored"), 4);
  EXPECT_EQ(Counted("packet.dropped"), 0);
  EXPECT_EQ(CountOf(), 5);
}

TEST_F(PacketValidatorTest, WhatIsNotForUsIsNotCounted) {
  EXPECT_EQ(KindOf(""), Kind::kIgnored);
  EXPECT_EQ(KindOf("{}"), Kind::kIgnored);
  EXPECT_EQ(KindOf("[]"), Kind::kIgnored);
  EXPECT_EQ(KindOf(Packet(kOtherSecret, "other")), Kind::kIgnored);
  EXPECT_EQ(KindOf(Packet(kOtherSecret, "demo", "stranger")), Kind::kIgnored);
  EXPECT_EQ(CountOf(), 0);
}

TEST_F(PacketValidatorTest, AnInvalidPacketUnderJoinIsCounted) {
  EXPECT_EQ(KindOf(Packet(kOtherSecret, "join", "stranger")), Kind::kInvalid);
  EXPECT_EQ(CountOf(), 1);
}

TEST_F(PacketValidatorTest, JoinersNeedNotBeNodes) {
  const PacketVerdict verdict = Check(Packet(kClusterSecret, "join", "stranger"));
  EXPECT_EQ(verdict.kind, Kind::kRequest);
  EXPECT_TRUE(verdict.joiner);
  EXPECT_EQ(verdict.nodename, "stranger");
}

TEST_F(PacketValidatorTest, ANodeUnderTheNameJoinIsAJoinerToo) {
  EXPECT_TRUE(Check(Packet(kClusterSecret, "join", "node2")).joiner);
}

TEST_F(PacketValidatorTest, WithoutTheSenderCheckAnyNameMaySend) {
  PacketRules rules = Rules();
  rules.check_sender = false;
  validator_.SetRules(rules);
  EXPECT_EQ(KindOf(Packet(kClusterSecret, "demo", "stranger")), Kind::kRequest);
  EXPECT_EQ(KindOf(Packet(kClusterSecret, "demo", "")), Kind::kRequest);
  EXPECT_EQ(KindOf(Packet(kClusterSecret, "other", "node2")), Kind::kIgnored);
}

TEST_F(PacketValidatorTest, AValidMessageResetsTheCount) {
  for (int i = 0; i < 4; ++i) EXPECT_EQ(KindOf(BadPacket()), Kind::kInvalid);
  EXPECT_EQ(KindOf(Packet()), Kind::kRequest);
  EXPECT_EQ(CountOf(), 0);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(KindOf(BadPacket()), Kind::kInvalid);
  EXPECT_THAT(blacklisted_, IsEmpty());
}

TEST_F(PacketValidatorTest, AReplayIsInvalidAndCountedAndNeverResetsACount) {
  const std::string captured = Packet();
  EXPECT_EQ(KindOf(captured), Kind::kRequest);
  for (int i = 1; i <= 4; ++i) {
    const PacketVerdict verdict = Check(captured);
    EXPECT_EQ(verdict.kind, Kind::kInvalid);
    EXPECT_EQ(verdict.why, "seen before");
    EXPECT_EQ(verdict.text, "");
    EXPECT_EQ(verdict.key, nullptr);
    EXPECT_EQ(CountOf(), i);
  }
  EXPECT_EQ(Counted("packet.replayed"), 4);
  EXPECT_EQ(KindOf(captured), Kind::kInvalid);
  EXPECT_EQ(KindOf(captured), Kind::kDropped);
  EXPECT_THAT(blacklisted_, ElementsAre(std::make_pair("10.0.0.2", 5)));
}

TEST_F(PacketValidatorTest, AReplayFromElsewhereCountsAgainstWhoSentIt) {
  const std::string captured = Packet();
  EXPECT_EQ(KindOf(captured, "10.0.0.2"), Kind::kRequest);
  EXPECT_EQ(KindOf(captured, "10.0.0.66"), Kind::kInvalid);
  EXPECT_EQ(CountOf("10.0.0.2"), 0);
  EXPECT_EQ(CountOf("10.0.0.66"), 1);
}

TEST_F(PacketValidatorTest, ACopyUnderAnotherNameIsAReplay) {
  const std::string captured = Packet(kClusterSecret, "demo", "node2");
  EXPECT_EQ(KindOf(captured), Kind::kRequest);
  Json renamed = *ParseJson(captured);
  renamed["nodename"] = "node1";
  EXPECT_EQ(KindOf(DumpJson(renamed)), Kind::kInvalid);
  renamed["clustername"] = "join";
  EXPECT_EQ(KindOf(DumpJson(renamed)), Kind::kInvalid);
}

TEST_F(PacketValidatorTest, TheReplayCheckCanBeTurnedOff) {
  PacketRules rules = Rules();
  rules.check_replay = false;
  validator_.SetRules(rules);
  const std::string captured = Packet();
  EXPECT_EQ(KindOf(captured), Kind::kRequest);
  EXPECT_EQ(KindOf(captured), Kind::kRequest);
  EXPECT_EQ(Counted("packet.replayed"), 0);
}

TEST_F(PacketValidatorTest, WithoutAKeyPacketsAreIgnoredAndNotCounted) {
  PacketRules rules = Rules();
  rules.key = nullptr;
  validator_.SetRules(rules);
  EXPECT_EQ(Check(Packet()).why, "no usable cluster.secret");
  EXPECT_EQ(KindOf(BadPacket()), Kind::kIgnored);
  EXPECT_EQ(CountOf(), 0);
}

TEST_F(PacketValidatorTest, BeforeItHasRulesNothingIsARequest) {
  PacketValidator fresh(&blacklist_, &replays_, &names_, &counters_,
                        [](const AdmissionKey&, int) {});
  EXPECT_EQ(fresh.Check(Packet(), Address("10.0.0.2")).kind, Kind::kIgnored);
  // Not even under the empty name that the rules then hold.
  EXPECT_EQ(fresh.Check(Packet(kClusterSecret, "", ""), Address("10.0.0.2")).kind, Kind::kIgnored);
}

TEST_F(PacketValidatorTest, ARequestIsAnsweredUnderTheKeyItCameWith) {
  const std::shared_ptr<const Key> before = validator_.rules()->key;
  const PacketVerdict verdict = Check(Packet());
  PacketRules rules = Rules();
  rules.key = std::make_shared<const Key>(*Key::FromSecret(kOtherSecret));
  validator_.SetRules(rules);
  EXPECT_EQ(verdict.key, before);
  EXPECT_EQ(KindOf(Packet(kClusterSecret)), Kind::kInvalid);
  EXPECT_EQ(KindOf(Packet(kOtherSecret)), Kind::kRequest);
}

TEST_F(PacketValidatorTest, AllCryptographicFailuresHaveOneOutcome) {
  const Json good = *ParseJson(Packet());
  std::vector<std::string> failing = {BadPacket()};
  const auto with = [&](const char* key, const std::string& value) {
    Json changed = good;
    changed[key] = value;
    failing.push_back(DumpJson(changed));
  };
  with("iv", "");
  with("iv", "AAAA");
  with("iv", "not base64!");
  with("data", "");
  with("data", "A");
  with("data", "AAAAAAAAAAAAAAAAAAAAAA==");  // A block of zeros.
  with("data", Text(good, "data").substr(0, 24));
  // Not compressed, and compressed but larger than what is ever inflated.
  const Key key = *Key::FromSecret(kClusterSecret);
  const auto sealed = [&](const std::string& compressed) {
    std::string packet = SealCompressed(key, &random_, "demo", "node2", compressed);
    packet.pop_back();
    failing.push_back(packet);
  };
  sealed("plain text");
  sealed("");
  sealed(Compress(std::string(kDefaultMaxTextBytes + 1, ' ')));
  for (const std::string& message : failing) {
    blacklist_.Clear();
    const PacketVerdict verdict = Check(message);
    EXPECT_EQ(verdict.kind, Kind::kInvalid) << message.substr(0, 200);
    EXPECT_EQ(verdict.why, "does not decrypt");
    EXPECT_EQ(verdict.text, "");
    EXPECT_EQ(verdict.nodename, "");
    EXPECT_EQ(verdict.key, nullptr);
    EXPECT_EQ(CountOf(), 1);
  }
  EXPECT_EQ(replays_.size(), 0u);  // None of them is remembered.
}

TEST_F(PacketValidatorTest, TextsAboveTheConfiguredLimitAreInvalid) {
  PacketRules rules = Rules();
  rules.max_text_bytes = 10;
  validator_.SetRules(rules);
  EXPECT_EQ(KindOf(Packet()), Kind::kInvalid);
}

TEST_F(PacketValidatorTest, StrangersInOneIpv6NetworkAreOneSender) {
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(KindOf(BadPacket(), "2001:db8::" + std::to_string(i)), Kind::kInvalid);
  }
  EXPECT_EQ(KindOf(Packet(), "2001:db8::99"), Kind::kDropped);
  EXPECT_THAT(blacklisted_, ElementsAre(std::make_pair("2001:db8::/64", 5)));
  EXPECT_EQ(KindOf(Packet(), "2001:db8:0:1::1"), Kind::kRequest);
}

class PacketMacTest : public PacketValidatorTest {
 protected:
  std::string MacPacket(const std::string& secret = kClusterSecret,
                        const std::string& node = "node2",
                        const std::string& text = R"({"action": "daemon_status"})") {
    std::string packet = Seal(*Key::FromSecret(secret), &random_, "demo", node, text,
                              kDefaultZlibLevel, PacketMac::kAttached);
    packet.pop_back();
    return packet;
  }
};

TEST_F(PacketMacTest, ARequestWithAMacIsAnsweredWithOne) {
  const PacketVerdict verdict = Check(MacPacket());
  EXPECT_EQ(verdict.kind, Kind::kRequest);
  EXPECT_EQ(verdict.mac, PacketMac::kAttached);
  EXPECT_EQ(Check(Packet()).mac, PacketMac::kNone);
}

TEST_F(PacketMacTest, AWrongMacIsAnInvalidMessageThoughItWouldDecrypt) {
  Json packet = *ParseJson(MacPacket());
  packet["nodename"] = "node1";  // Covered by nothing but the MAC.
  EXPECT_EQ(Check(DumpJson(packet)).why, "wrong MAC");
  EXPECT_EQ(CountOf(), 1);
  packet["hmac"] = nullptr;
  EXPECT_EQ(KindOf(DumpJson(packet)), Kind::kInvalid);
  EXPECT_EQ(CountOf(), 2);
  EXPECT_EQ(Counted("packet.wrong_mac"), 2);
  // It was not decrypted: without its MAC the packet is not one seen before.
  packet.erase("hmac");
  EXPECT_EQ(KindOf(DumpJson(packet)), Kind::kRequest);
}

TEST_F(PacketMacTest, OnceRequiredPacketsWithoutOneAreIgnoredAndNotCountedAgainstTheSender) {
  PacketRules rules = Rules();
  rules.require_mac = true;
  validator_.SetRules(rules);
  EXPECT_EQ(Check(Packet()).why, "has no MAC");
  EXPECT_EQ(KindOf(Packet(kClusterSecret, "join", "node9")), Kind::kIgnored);
  EXPECT_EQ(Counted("packet.without_mac"), 2);
  EXPECT_EQ(CountOf(), 0);
  EXPECT_EQ(KindOf(MacPacket()), Kind::kRequest);
}

class RotationTest : public PacketMacTest {
 protected:
  // The secret has been changed from kClusterSecret to kOtherSecret.
  RotationTest() {
    PacketRules rules = Rules();
    rules.key = std::make_shared<const Key>(*Key::FromSecret(kOtherSecret));
    rules.previous_key = std::make_shared<const Key>(*Key::FromSecret(kClusterSecret));
    rotating_.SetRules(rules);
  }
  PacketVerdict CheckRotating(const std::string& message) {
    return rotating_.Check(message, Address("10.0.0.2"));
  }
  std::vector<std::string> previous_;
  PacketValidator rotating_{&blacklist_,
                            &replays_,
                            &names_,
                            &counters_,
                            [](const AdmissionKey&, int) {},
                            [this](absl::string_view node, const PeerAddress& from) {
                              previous_.push_back(absl::StrCat(node, " ", from.ToString()));
                            }};
};

TEST_F(RotationTest, BothSecretsAreAcceptedAndEachAnsweredUnderItself) {
  EXPECT_EQ(CheckRotating(Packet(kOtherSecret)).key, rotating_.rules()->key);
  EXPECT_THAT(previous_, IsEmpty());
  EXPECT_EQ(CheckRotating(Packet(kClusterSecret)).key, rotating_.rules()->previous_key);
  EXPECT_THAT(previous_, ElementsAre("node2 10.0.0.2"));
  EXPECT_EQ(CheckRotating(MacPacket(kOtherSecret)).key, rotating_.rules()->key);
  EXPECT_EQ(CheckRotating(MacPacket(kClusterSecret)).key, rotating_.rules()->previous_key);
  EXPECT_EQ(Counted("packet.previous_secret"), 2);
}

TEST_F(RotationTest, AThirdSecretCountsOnce) {
  constexpr char kThird[] = "33333333333333333333333333333333";
  EXPECT_EQ(CheckRotating(Packet(kThird)).kind, Kind::kInvalid);
  EXPECT_EQ(CountOf(), 1);
  EXPECT_EQ(CheckRotating(MacPacket(kThird)).kind, Kind::kInvalid);
  EXPECT_EQ(CountOf(), 2);
}

TEST_F(RotationTest, WhenThePreviousSecretIsDroppedItIsInvalid) {
  PacketRules rules = *rotating_.rules();
  rules.previous_key = nullptr;
  rotating_.SetRules(rules);
  EXPECT_EQ(CheckRotating(Packet(kClusterSecret)).kind, Kind::kInvalid);
  EXPECT_EQ(CheckRotating(Packet(kOtherSecret)).kind, Kind::kRequest);
}

TEST_F(PacketMacTest, ANodeThatIsGoneMayAskToLeaveAndNothingElse) {
  const auto from_gone = [this](const std::string& text,
                                const std::string& secret = kClusterSecret) {
    std::string packet = Seal(*Key::FromSecret(secret), &random_, "demo", "node9", text);
    packet.pop_back();
    return packet;
  };
  const std::string leave = from_gone(R"({"action": "leave"})");
  const PacketVerdict verdict = Check(leave);
  EXPECT_EQ(verdict.kind, Kind::kRequest);
  EXPECT_EQ(verdict.nodename, "node9");
  EXPECT_FALSE(verdict.joiner);
  EXPECT_EQ(KindOf(leave), Kind::kIgnored) << "a replay";
  EXPECT_EQ(KindOf(from_gone(R"({"action": "join"})")), Kind::kIgnored);
  EXPECT_EQ(KindOf(from_gone(R"({"action": "daemon_status"})")), Kind::kIgnored);
  EXPECT_EQ(KindOf(from_gone(R"({"action": "leave"})", kOtherSecret)), Kind::kIgnored);
  EXPECT_EQ(CountOf(), 0);
  BlacklistSender();
  EXPECT_EQ(KindOf(from_gone(R"({"action": "leave"})")), Kind::kIgnored);
}

TEST_F(PacketValidatorTest, MembersAreHeardFromWhenTheyJoinUntilTheyLeave) {
  validator_.SetMember("node9", true);
  EXPECT_EQ(KindOf(Packet(kClusterSecret, "demo", "node9")), Kind::kRequest);
  validator_.SetMember("node9", false);
  EXPECT_EQ(KindOf(Packet(kClusterSecret, "demo", "node9")), Kind::kIgnored);
}

}  // namespace
}  // namespace om
