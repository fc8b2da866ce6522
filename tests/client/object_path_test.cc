#include "client/object_path.h"

#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::Eq;
using ::testing::HasSubstr;

TEST(CanonicalObjectPathTest, ServicesOfTheRootNamespaceAreTheirBareName) {
  EXPECT_THAT(CanonicalObjectPath("web"), IsOkAndHolds(Eq("web")));
  EXPECT_THAT(CanonicalObjectPath("svc/web"), IsOkAndHolds(Eq("web")));
  EXPECT_THAT(CanonicalObjectPath("root/svc/web"), IsOkAndHolds(Eq("web")));
  EXPECT_THAT(CanonicalObjectPath("svc/daemon"), IsOkAndHolds(Eq("daemon")));
}

TEST(CanonicalObjectPathTest, OtherKindsAndNamespacesAreSpelledOut) {
  EXPECT_THAT(CanonicalObjectPath("cfg/c1"), IsOkAndHolds(Eq("cfg/c1")));
  EXPECT_THAT(CanonicalObjectPath("root/vol/v1"), IsOkAndHolds(Eq("vol/v1")));
  EXPECT_THAT(CanonicalObjectPath("ns1/svc/web"), IsOkAndHolds(Eq("ns1/svc/web")));
  EXPECT_THAT(CanonicalObjectPath("root/ccfg/cluster"), IsOkAndHolds(Eq("cluster")));
  EXPECT_THAT(CanonicalObjectPath("cluster"), IsOkAndHolds(Eq("cluster")));
}

TEST(CanonicalObjectPathTest, SlicesOfScalersStartWithTheirNumber) {
  EXPECT_THAT(CanonicalObjectPath("3.web"), IsOkAndHolds(Eq("3.web")));
  EXPECT_THAT(CanonicalObjectPath("12"), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CanonicalObjectPath("3."), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(CanonicalObjectPathTest, WhatIsNoPathIsRefusedWithThePartThatIsWrong) {
  for (const char* text : {"", "/", "web/", "/web", "a,b", "a+b", "-web", "web-", "we b", "node",
                           "auth", "web*", "a/b/c/d"}) {
    EXPECT_THAT(CanonicalObjectPath(text), StatusIs(absl::StatusCode::kInvalidArgument)) << text;
  }
  EXPECT_THAT(CanonicalObjectPath("app/web"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("kind 'app'")));
  EXPECT_THAT(CanonicalObjectPath("n.s/svc/web"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("namespace 'n.s'")));
  EXPECT_THAT(CanonicalObjectPath(std::string(64, 'a')),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("at most 63")));
}

}  // namespace
}  // namespace om
