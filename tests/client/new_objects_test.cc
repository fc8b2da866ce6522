#include "client/omctl/new_objects.h"

#include "absl/strings/str_cat.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using control::v1::NewKeyword;
using control::v1::NewObject;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<std::string> Lines(const NewObject& object) {
  std::vector<std::string> lines;
  for (const NewKeyword& keyword : object.keywords()) {
    lines.push_back(absl::StrCat(keyword.section(), ".", keyword.name(), "=", keyword.value()));
  }
  return lines;
}

TEST(NewObjectsTest, FileOfSectionsIsOneObject) {
  OM_ASSERT_OK_AND_ASSIGN(const std::vector<NewObject> objects,
                          ParseNewObjects("\xEF\xBB\xBF# about\n[DEFAULT]\nnodes = n1 n2\r\n\n"
                                          "[app#1]\nstart@n1: /bin/a = b\n  stop=x\nenv =\n"
                                          "; note\n   A=1\n   B=2\n",
                                          "web", "web.conf"));
  ASSERT_THAT(objects, SizeIs(1));
  EXPECT_EQ(objects[0].path(), "web");
  EXPECT_THAT(Lines(objects[0]),
              ElementsAre("DEFAULT.nodes=n1 n2", "app#1.start@n1=/bin/a = b\nstop=x",
                          "app#1.env=\nA=1\nB=2"));
}

TEST(NewObjectsTest, FileThatIsWrongIsToldWithItsLineAndNotItsText) {
  const auto parse = [](const char* text) { return ParseNewObjects(text, "web", "web.conf"); };
  EXPECT_THAT(
      parse("[a]\nsecret\n"),
      StatusIs(absl::StatusCode::kInvalidArgument,
               AllOf(HasSubstr("web.conf:2: expected keyword = value"), Not(HasSubstr("secret")))));
  EXPECT_THAT(parse("key = 1\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(":1: ")));
  EXPECT_THAT(parse("[a\n"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("']'")));
  EXPECT_THAT(parse("[]\n"), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(NewObjectsTest, JsonIsSeveralObjectsInTheirOrder) {
  OM_ASSERT_OK_AND_ASSIGN(
      const std::vector<NewObject> objects,
      ParseNewObjects(R"( {"web": {"app#1": {"start": "/bin/a", "restart": 2, "optional": true}},
                           "ns1/vol/data": {}} )",
                      "", "-"));
  ASSERT_THAT(objects, SizeIs(2));
  EXPECT_THAT(Lines(objects[0]),
              ElementsAre("app#1.start=/bin/a", "app#1.restart=2", "app#1.optional=true"));
  EXPECT_EQ(objects[1].path(), "ns1/vol/data");
}

TEST(NewObjectsTest, JsonForOneObjectMayLeaveItsPathOut) {
  OM_ASSERT_OK_AND_ASSIGN(const std::vector<NewObject> objects,
                          ParseNewObjects(R"({"app#1": {"start": "x"}})", "web", "-"));
  EXPECT_EQ(objects[0].path(), "web");
  EXPECT_THAT(Lines(objects[0]), ElementsAre("app#1.start=x"));
  EXPECT_THAT(ParseNewObjects(R"({"root/svc/web": {"app#1": {"start": "x"}}})", "web", "-"),
              IsOk());
  EXPECT_THAT(ParseNewObjects(R"({"db": {"app#1": {"start": "x"}}})", "web", "-"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("'db' is not web")));
}

TEST(NewObjectsTest, WhatIsNeitherIsAnError) {
  for (const char* text : {"", "{", "{}", R"({"web": 1})", R"({"web": {"app#1": "x"}})",
                           R"({"web": {"app#1": {"start": ["x"]}}})", "[app#1]\nstart = x\n"}) {
    EXPECT_THAT(ParseNewObjects(text, "", "f"),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f")))
        << text;
  }
}

}  // namespace
}  // namespace om
