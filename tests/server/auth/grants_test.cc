#include "server/auth/grants.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/base/random.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

Grants Parsed(absl::string_view text) {
  absl::StatusOr<Grants> grants = Grants::Parse(text);
  EXPECT_TRUE(grants.ok()) << grants.status();
  return grants.ok() ? *grants : Grants();
}

TEST(GrantsTest, NothingIsHeldByDefault) {
  for (const Role role : {Role::kGuest, Role::kAdmin, Role::kRoot, Role::kHeartbeat}) {
    EXPECT_FALSE(Grants().Allows(role, "root"));
  }
}

TEST(GrantsTest, AdminImpliesOperatorAndOperatorImpliesGuestOnTheSameNamespaceOnly) {
  const Grants grants = Parsed("admin:ns1 operator:ns2\tguest:ns3");
  const Role roles[] = {Role::kGuest, Role::kOperator, Role::kAdmin};
  const char* const namespaces[] = {"ns3", "ns2", "ns1"};
  for (int held = 0; held < 3; ++held) {
    for (int asked = 0; asked < 3; ++asked) {
      EXPECT_EQ(grants.Allows(roles[asked], namespaces[held]), asked <= held);
      EXPECT_FALSE(grants.Allows(roles[asked], "root"));
    }
  }
  EXPECT_FALSE(grants.Allows(Role::kRoot, "ns1"));
}

TEST(GrantsTest, RootHoldsEveryRoleEverywhere) {
  for (int role = 0; role <= static_cast<int>(Role::kHeartbeat); ++role) {
    EXPECT_TRUE(Parsed("root").Allows(static_cast<Role>(role), "any"));
  }
}

TEST(GrantsTest, ClusterRolesGiveOnlyThemselves) {
  const Grants grants = Parsed("blacklistadmin squatter");
  EXPECT_TRUE(grants.Allows(Role::kBlacklistAdmin, ""));
  EXPECT_TRUE(grants.Allows(Role::kSquatter, ""));
  EXPECT_FALSE(grants.Allows(Role::kPrioritizer, ""));
  EXPECT_FALSE(grants.Allows(Role::kGuest, "root"));
}

TEST(GrantsTest, GlobsAndListsMatchNamespaces) {
  const Grants grants = Parsed("guest,operator:ns*,[a-c]?,x[!1]");
  EXPECT_TRUE(grants.Allows(Role::kOperator, "ns"));
  EXPECT_TRUE(grants.Allows(Role::kGuest, "ns12"));
  EXPECT_TRUE(grants.Allows(Role::kGuest, "b7"));
  EXPECT_TRUE(grants.Allows(Role::kGuest, "x2"));
  EXPECT_FALSE(grants.Allows(Role::kGuest, "x1"));
  EXPECT_FALSE(grants.Allows(Role::kGuest, "d7"));
  EXPECT_FALSE(grants.Allows(Role::kGuest, "b77"));
  EXPECT_FALSE(grants.Allows(Role::kAdmin, "ns"));
  EXPECT_TRUE(Parsed("guest:*").Allows(Role::kGuest, ""));
  EXPECT_TRUE(Parsed("guest:root").Allows(Role::kGuest, ""));
}

TEST(GrantsTest, AnyNamespaceAmongThoseThatExistIsEnough) {
  EXPECT_TRUE(Parsed("guest:b*").AllowsAny(Role::kGuest, {"a", "bc"}));
  EXPECT_FALSE(Parsed("guest:b*").AllowsAny(Role::kGuest, {"a"}));
  EXPECT_TRUE(Parsed("root").AllowsAny(Role::kGuest, {}));
}

TEST(GrantsTest, UnknownRolesAndMisplacedOnesGiveNothing) {
  EXPECT_TRUE(Parsed("king king:ns admin root:ns1 squatter:* Root").empty());
  EXPECT_FALSE(Parsed("root:*").Allows(Role::kRoot, "ns"));
}

TEST(GrantsTest, MalformedAndUnboundedTextIsRefused) {
  EXPECT_THAT(Grants::Parse("admin:a:b").status().message(), testing::HasSubstr("admin:a:b"));
  EXPECT_FALSE(Grants::Parse("admin:n/s").ok());
  EXPECT_FALSE(Grants::Parse(absl::StrCat("admin:", std::string(64, 'a'))).ok());
  EXPECT_TRUE(Grants::Parse(absl::StrCat("admin:", std::string(63, 'a'))).ok());
  EXPECT_FALSE(Grants::Parse(std::string(Grants::kMaxTextBytes + 1, ' ')).ok());
  std::string many;
  for (size_t i = 0; i < Grants::kMaxGrants; ++i) absl::StrAppend(&many, "guest:n", i, " ");
  EXPECT_TRUE(Grants::Parse(many).ok());
  EXPECT_FALSE(Grants::Parse(absl::StrCat(many, "guest:more")).ok());
}

TEST(GrantsTest, NobodyCoversWhatHeDoesNotHold) {
  EXPECT_TRUE(Parsed("admin:ns1").Covers(Parsed("operator:ns1 guest:ns1")));
  EXPECT_FALSE(Parsed("admin:ns1").Covers(Parsed("guest:ns*")));
  EXPECT_TRUE(Parsed("admin:*").Covers(Parsed("guest:ns*")));
  EXPECT_FALSE(Parsed("admin:*").Covers(Parsed("root")));
  EXPECT_TRUE(Parsed("root").Covers(Parsed("squatter admin:*")));
  EXPECT_FALSE(Parsed("operator:ns1").Covers(Parsed("admin:ns1")));
}

TEST(GrantsTest, RefusalsNameRoleAndNamespace) {
  const absl::Status status = Grants().Check(Role::kOperator, "");
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(status.message(), "needs the role operator on the namespace root");
  EXPECT_EQ(Grants().Check(Role::kRoot, "x").message(), "needs the role root");
}

TEST(GrantsTest, TextOfAnythingThatParsesParsesToTheSame) {
  Random random(5);
  const std::string alphabet = "admin:guest,root* []?!-o p";
  int parsed = 0;
  for (int i = 0; i < 10'000; ++i) {
    std::string text = "admin:ns1,b* root operator:x[a-c]";
    for (int edits = 0; edits < 4; ++edits) {
      text[random.Below(text.size())] = alphabet[random.Below(alphabet.size())];
    }
    const absl::StatusOr<Grants> grants = Grants::Parse(text);
    if (!grants.ok()) continue;
    ++parsed;
    EXPECT_EQ(Parsed(grants->ToString()).ToString(), grants->ToString()) << text;
    EXPECT_TRUE(grants->Covers(Parsed(grants->ToString()))) << text;
  }
  EXPECT_GT(parsed, 1000);
}

TEST(GrantsTest, GlobsMadeToBeSlowAreNot) {
  const Grants grants = Parsed("guest:*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b");
  EXPECT_FALSE(grants.Allows(Role::kGuest, std::string(63, 'a')));
}

}  // namespace
}  // namespace om
