#include "server/admission/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "absl/hash/hash_testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::HasSubstr;

PeerAddress Address(absl::string_view text) {
  absl::StatusOr<PeerAddress> address = PeerAddress::Parse(text);
  EXPECT_THAT(address, IsOk());
  return address.value_or(PeerAddress());
}

TEST(PeerAddressTest, TextIsReadAndWritten) {
  EXPECT_EQ(Address("10.1.2.3").ToString(), "10.1.2.3");
  EXPECT_EQ(Address("2001:DB8:0:0::1").ToString(), "2001:db8::1");
  EXPECT_EQ(Address("fe80::1%eth0").ToString(), "fe80::1");
  EXPECT_EQ(PeerAddress().ToString(), "0.0.0.0");
}

TEST(PeerAddressTest, TextThatIsNoAddressIsRefused) {
  for (const char* text : {"", "10.1.2", "10.1.2.3.4", "10.1.2.3:80", "node1", "[::1]", "::g"}) {
    EXPECT_THAT(PeerAddress::Parse(text),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
  EXPECT_THAT(PeerAddress::Parse(absl::string_view("::1\0x", 5)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\\x00")));
}

TEST(PeerAddressTest, MappedAddressIsTheIpv4AddressItMaps) {
  EXPECT_EQ(Address("::ffff:10.1.2.3"), Address("10.1.2.3"));
  EXPECT_TRUE(Address("::ffff:10.1.2.3").is_ipv4());
  EXPECT_FALSE(Address("::10.1.2.3").is_ipv4());
}

TEST(PeerAddressTest, SocketAddressesOfBothFamiliesAreRead) {
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  ASSERT_EQ(inet_pton(AF_INET, "10.1.2.3", &v4.sin_addr), 1);
  EXPECT_THAT(PeerAddress::FromSockaddr(reinterpret_cast<sockaddr*>(&v4), sizeof(v4)),
              IsOkAndHolds(Address("10.1.2.3")));
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  ASSERT_EQ(inet_pton(AF_INET6, "2001:db8::1", &v6.sin6_addr), 1);
  EXPECT_THAT(PeerAddress::FromSockaddr(reinterpret_cast<sockaddr*>(&v6), sizeof(v6)),
              IsOkAndHolds(Address("2001:db8::1")));
  EXPECT_THAT(PeerAddress::FromSockaddr(reinterpret_cast<sockaddr*>(&v6), sizeof(v4)),
              StatusIs(absl::StatusCode::kInvalidArgument));
  sockaddr_un local = {};
  local.sun_family = AF_UNIX;
  EXPECT_THAT(PeerAddress::FromSockaddr(reinterpret_cast<sockaddr*>(&local), sizeof(local)),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(AdmissionKeyTest, Ipv6IsCountedByNetworkUnlessItIsANodes) {
  const AdmissionKey one(Address("2001:db8:1:2:3:4:5:6"), false);
  const AdmissionKey neighbour(Address("2001:db8:1:2:ffff::1"), false);
  const AdmissionKey elsewhere(Address("2001:db8:1:3::1"), false);
  EXPECT_EQ(one, neighbour);
  EXPECT_FALSE(one == elsewhere);
  EXPECT_EQ(one.ToString(), "2001:db8:1:2::/64");

  const AdmissionKey node(Address("2001:db8:1:2:3:4:5:6"), true);
  EXPECT_FALSE(node == one);
  EXPECT_EQ(node.ToString(), "2001:db8:1:2:3:4:5:6");
  // A node whose address is the first of its network is not the network.
  EXPECT_FALSE(AdmissionKey(Address("2001:db8:1:2::"), true) == one);
}

TEST(AdmissionKeyTest, Ipv4IsCountedWholeHoweverItCameIn) {
  const AdmissionKey plain(Address("10.1.2.3"), false);
  EXPECT_EQ(plain, AdmissionKey(Address("::ffff:10.1.2.3"), false));
  EXPECT_EQ(plain, AdmissionKey(Address("10.1.2.3"), true));
  EXPECT_FALSE(plain == AdmissionKey(Address("10.1.2.4"), false));
  EXPECT_EQ(plain.ToString(), "10.1.2.3");
}

TEST(AdmissionKeyTest, HashFitsEquality) {
  EXPECT_TRUE(absl::VerifyTypeImplementsAbslHashCorrectly(
      {AdmissionKey(), AdmissionKey(Address("10.1.2.3"), false),
       AdmissionKey(Address("2001:db8::"), false), AdmissionKey(Address("2001:db8::"), true)}));
}

}  // namespace
}  // namespace om
