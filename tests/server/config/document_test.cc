#include "server/config/document.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "server/base/random.h"
#include "tests/support/matchers.h"

namespace om {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

Document Parsed(absl::string_view text) {
  absl::StatusOr<Document> document = Document::Parse(text, "node.conf");
  EXPECT_THAT(document, IsOk()) << text;
  return document.ok() ? *std::move(document) : Document();
}

// Text of a key, or "<none>".
std::string Get(const Document& document, absl::string_view section, absl::string_view key) {
  const Document::Value* value = document.Find(section, key);
  return value == nullptr ? "<none>" : value->text;
}

// What reading the document anew would give: an edit must not mean one thing in memory and another
// on disk.
std::vector<std::string> Meaning(const Document& document) {
  std::vector<std::string> meaning;
  for (const std::string& section : document.Sections()) {
    meaning.push_back(absl::StrCat("[", section, "] line ", document.SectionLine(section)));
    for (const Document::Value& value : document.Entries(section)) {
      meaning.push_back(absl::StrCat(value.line, ": ", value.key, " = ", value.text));
    }
  }
  return meaning;
}

void ExpectSameOnDisk(const Document& document) {
  EXPECT_EQ(Meaning(Parsed(document.Text())), Meaning(document)) << document.Text();
}

TEST(DocumentTest, ReadsBothDelimitersAndLowersKeysOnly) {
  const Document document = Parsed("[Listener]\nPort = 1214\nADDR: 0.0.0.0\n");
  EXPECT_EQ(Get(document, "Listener", "port"), "1214");
  EXPECT_EQ(Get(document, "Listener", "addr"), "0.0.0.0");
  EXPECT_FALSE(document.HasSection("listener"));
  EXPECT_EQ(document.Find("Listener", "addr")->line, 3);
}

TEST(DocumentTest, TheFirstDelimiterEndsTheKey) {
  const Document document = Parsed("[env]\nurl = http://h:80/?a=b\nk: a = b\n");
  EXPECT_EQ(Get(document, "env", "url"), "http://h:80/?a=b");
  EXPECT_EQ(Get(document, "env", "k"), "a = b");
}

TEST(DocumentTest, CommentsStandAloneAndNeverAfterAValue) {
  const Document document =
      Parsed("# a\n; b\n[s]\n  # indented\nk = v # not a comment ; nor this\n");
  EXPECT_EQ(Get(document, "s", "k"), "v # not a comment ; nor this");
}

TEST(DocumentTest, DeeperLinesContinueTheValue) {
  const Document document =
      Parsed("[s]\nk = a\n  b\n\n  # gone\n\tc = d\n  [e]\nl =\n  x\n\n\nm = y\n");
  EXPECT_EQ(Get(document, "s", "k"), "a\nb\n\nc = d\n[e]");
  EXPECT_EQ(Get(document, "s", "l"), "\nx");
  EXPECT_EQ(Get(document, "s", "m"), "y");
  EXPECT_EQ(document.Find("s", "m")->line, 12);
}

TEST(DocumentTest, IndentedKeysAreKeysUnlessTheyAreDeeperThanTheLast) {
  const Document document = Parsed("  [s]\n    a = 1\n    b = 2\n      c = 3\n  [t]\n d = 4\n");
  EXPECT_EQ(Get(document, "s", "a"), "1");
  EXPECT_EQ(Get(document, "s", "b"), "2\nc = 3");
  EXPECT_EQ(Get(document, "t", "d"), "4");
}

TEST(DocumentTest, RepeatedSectionsMergeAndTheLastKeyCounts) {
  const Document document = Parsed("[a]\nk = 1\nx = 1\n[b]\n[a]\nk = 2\nk = 3\n");
  EXPECT_THAT(document.Sections(), ElementsAre("a", "b"));
  EXPECT_EQ(Get(document, "a", "k"), "3");
  EXPECT_EQ(document.Find("a", "k")->line, 7);
  EXPECT_EQ(Get(document, "a", "x"), "1");
  EXPECT_EQ(document.SectionLine("a"), 1);
}

TEST(DocumentTest, EmptyValuesAreLegal) {
  const Document document = Parsed("[s]\na =\nb:\n");
  EXPECT_EQ(Get(document, "s", "a"), "");
  EXPECT_EQ(Get(document, "s", "b"), "");
}

TEST(DocumentTest, ReadsDosLinesByteOrderMarkAndAMissingLastLineEnd) {
  const std::string text = "\xEF\xBB\xBF[s]\r\na = 1\r\n  2\r\nb = 3";
  Document document = Parsed(text);
  EXPECT_EQ(Get(document, "s", "a"), "1\n2");
  EXPECT_EQ(Get(document, "s", "b"), "3");
  EXPECT_EQ(document.Text(), text);
  ASSERT_THAT(document.Set("s", "c", "4"), IsOk());
  EXPECT_EQ(document.Text(), text + "\r\nc = 4\r\n");
}

TEST(DocumentTest, ErrorsNameFileLineAndExpectationButNotTheLine) {
  const auto fails = [](absl::string_view text, absl::string_view where,
                        absl::string_view expectation) {
    EXPECT_THAT(Document::Parse(text, "node.conf"),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr(std::string(where)), HasSubstr(std::string(expectation)),
                               Not(HasSubstr("topsecret")))));
  };
  fails("[s]\ntopsecret\n", "node.conf:2: ", "expected \"key = value\"");
  fails("topsecret = 1\n", "node.conf:1: ", "expected a \"[section]\" line before");
  fails("\n\n[topsecret\n", "node.conf:3: ", "expected \"]\"");
  fails("[]\n", "node.conf:1: ", "expected a section name");
  fails("[s] topsecret\n", "node.conf:1: ", "expected nothing after");
  fails("[s]\n= topsecret\n", "node.conf:2: ", "expected a key");
  fails("[s]\nk = topsecret\xFF\n", "node.conf:2: ", "not UTF-8");
  fails(absl::string_view("[s]\nk = \0", 9), "node.conf:2: ", "NUL");
  fails("[s]\nk = a\rl = b\n", "node.conf:2: ", "carriage return");
}

TEST(DocumentTest, SizeAndCountsAreBounded) {
  DocumentLimits limits;
  limits.max_bytes = 20;
  EXPECT_THAT(Document::Parse("[s]\nk = 345678901234", "f", limits), IsOk());
  EXPECT_THAT(Document::Parse("[s]\nk = 3456789012345", "f", limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("20")));
  limits.max_bytes = 1000;
  limits.max_keys = 2;
  limits.max_sections = 2;
  EXPECT_THAT(Document::Parse("[a]\nb = 1\n[a]\nb = 1\n", "f", limits), IsOk());
  EXPECT_THAT(Document::Parse("[a]\nb = 1\nb = 1\nb = 1\n", "f", limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("f:4")));
  EXPECT_THAT(Document::Parse("[a]\n[a]\n[a]\n", "f", limits),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("f:3")));
}

TEST(DocumentTest, ChangingAValueLeavesEverythingElse) {
  Document document = Parsed("# top\n\n[listener]\n# the port\nPort  :  1214\n\n; end\n[x]\ny=1\n");
  ASSERT_THAT(document.Set("listener", "port", "1215"), IsOk());
  EXPECT_EQ(document.Text(), "# top\n\n[listener]\n# the port\nPort  :  1215\n\n; end\n[x]\ny=1\n");
  ASSERT_THAT(document.Set("x", "Y", "2"), IsOk());
  EXPECT_THAT(document.Text(), HasSubstr("[x]\ny=2\n"));
  ExpectSameOnDisk(document);
}

TEST(DocumentTest, SettingTheSameValueChangesNoByte) {
  const std::string text = "[s]\nk =   a\n    b\n";
  Document document = Parsed(text);
  ASSERT_THAT(document.Set("s", "k", "a\nb"), IsOk());
  EXPECT_EQ(document.Text(), text);
}

TEST(DocumentTest, ANewKeyComesAfterTheLastOfItsSection) {
  Document document = Parsed("[a]\nk = 1\n\n# about b\n[b]\n");
  ASSERT_THAT(document.Set("a", "l", "2"), IsOk());
  ASSERT_THAT(document.Set("b", "m", "3"), IsOk());
  EXPECT_EQ(document.Text(), "[a]\nk = 1\nl = 2\n\n# about b\n[b]\nm = 3\n");
  ExpectSameOnDisk(document);
}

TEST(DocumentTest, ANewSectionComesAtTheEndAfterABlankLine) {
  Document document("node.conf");
  ASSERT_THAT(document.Set("a", "k", "1"), IsOk());
  ASSERT_THAT(document.Set("b", "k", "2"), IsOk());
  EXPECT_EQ(document.Text(), "[a]\nk = 1\n\n[b]\nk = 2\n");
  ExpectSameOnDisk(document);
}

TEST(DocumentTest, ManyLinesAreWrittenAsContinuation) {
  Document document = Parsed("[s]\nk = 1\n");
  ASSERT_THAT(document.Set("s", "k", "a\n  b\n\nc\n"), IsOk());
  EXPECT_EQ(document.Text(), "[s]\nk = a\n  b\n\n  c\n");
  EXPECT_EQ(Get(document, "s", "k"), "a\nb\n\nc");
  ExpectSameOnDisk(document);
}

TEST(DocumentTest, CommentsInsideAValueOutliveItsChangeAndRemoval) {
  Document document = Parsed("[s]\nk = a\n  # why\n  b\nl = 1\n");
  ASSERT_THAT(document.Set("s", "k", "c"), IsOk());
  EXPECT_EQ(document.Text(), "[s]\nk = c\n  # why\nl = 1\n");
  document = Parsed("[s]\nk = a\n  # why\n  b\nl = 1\n");
  EXPECT_TRUE(document.Unset("s", "k"));
  EXPECT_EQ(document.Text(), "[s]\n  # why\nl = 1\n");
  ExpectSameOnDisk(document);
}

TEST(DocumentTest, UnsetRemovesEveryLineOfTheKey) {
  Document document = Parsed("[s]\nk = 1\nl = 2\nK = 3\n");
  EXPECT_TRUE(document.Unset("s", "k"));
  EXPECT_EQ(document.Text(), "[s]\nl = 2\n");
  EXPECT_FALSE(document.Unset("s", "k"));
  EXPECT_FALSE(document.Unset("t", "l"));
}

TEST(DocumentTest, RemovingASectionKeepsTheCommentOfTheNext) {
  Document document =
      Parsed("[a]\nk = 1\n[b]\n# in b\nk = 2\n\n# about c\n[c]\nk = 3\n[b]\nl = 4\n");
  EXPECT_TRUE(document.RemoveSection("b"));
  EXPECT_EQ(document.Text(), "[a]\nk = 1\n# about c\n[c]\nk = 3\n");
  EXPECT_FALSE(document.RemoveSection("b"));
  ExpectSameOnDisk(document);
}

TEST(DocumentTest, WhatFollowsAnEditNeverReadsAsItsContinuation) {
  Document document = Parsed("[a]\n    [b]\n    k = 1\n");
  ASSERT_THAT(document.Set("a", "x", "1"), IsOk());
  ExpectSameOnDisk(document);
  EXPECT_EQ(Get(document, "b", "k"), "1");

  document = Parsed("[a]\np = 1\n[x]\n    q = 2\n    [y]\n    r = 3\n");
  EXPECT_TRUE(document.RemoveSection("x"));
  ExpectSameOnDisk(document);
  EXPECT_EQ(Get(document, "a", "p"), "1");
  EXPECT_EQ(Get(document, "y", "r"), "3");
}

TEST(DocumentTest, RefusesWhatTheDialectCannotHold) {
  Document document = Parsed("[s]\nk = 1\n");
  const std::string text = document.Text();
  const auto refused = [&](absl::string_view section, absl::string_view key,
                           absl::string_view value) {
    EXPECT_THAT(document.Set(section, key, value), StatusIs(absl::StatusCode::kInvalidArgument))
        << section << "." << key;
  };
  refused("", "k", "v");
  refused("a]b", "k", "v");
  refused("a\nb", "k", "v");
  refused("s", "", "v");
  refused("s", "a=b", "v");
  refused("s", "a:b", "v");
  refused("s", "a\nb", "v");
  refused("s", "#a", "v");
  refused("s", ";a", "v");
  refused("s", "[a", "v");
  refused("s", " a", "v");
  refused("s", "a", "x\n# lost");
  refused("s", "a", "x\n  ; lost");
  refused("s", "a", absl::string_view("\0", 1));
  refused("s", "a", "\xFF");
  refused("s", "a", "b\rc");
  EXPECT_EQ(document.Text(), text);
  EXPECT_THAT(document.Set("s", "a", "# kept"), IsOk());
  ExpectSameOnDisk(document);
}

// Any mixture of edits leaves a text that reads as what the document says, and lines that no edit
// was about stay as they were.
TEST(DocumentTest, RandomEditsReadBackAndLeaveTheRest) {
  const std::string marked = "[keep]\n# comment \t\nweird  :   value \n   continued\n\n; other\n";
  const std::vector<std::string> sections = {"a", "b", "DEFAULT", "app#1"};
  const std::vector<std::string> keys = {"k", "l", "m@n1", "long key"};
  const std::vector<std::string> values = {"",         "1",           "two words", "a\nb",
                                           "a\n\nb\n", "# no",        "x = y",     "[z]",
                                           "\nlate",   "a\n[b]\nc=d", "{ref.x}",   "\xC3\xA9"};
  const std::vector<std::string> starts = {
      "", "[a]", "# only\n", "  [a]\n     k = 1\n   l = 2\n     x\n [b]\n",
      "[a]\nk = 1\n k2 = 3\n# c\n\n  more\n[a]\n[b]\n      [DEFAULT]\n   k = 1\n"};
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    Random random(seed);
    const bool front = random.OneIn(2);
    const std::string& start = starts[random.Below(starts.size())];
    std::string text = start;
    if (!text.empty() && text.back() != '\n') text += "\n";
    text = front ? marked + text : text + marked;
    Document document = Parsed(text);
    const std::string weird = Get(document, "keep", "weird");
    for (int step = 0; step < 12; ++step) {
      const std::string& section = sections[random.Below(sections.size())];
      const std::string& key = keys[random.Below(keys.size())];
      const uint64_t what = random.Below(10);
      if (what < 7) {
        const std::string& value = values[random.Below(values.size())];
        ASSERT_THAT(document.Set(section, key, value), IsOk());
        Document normal("n");
        ASSERT_THAT(normal.Set("s", "k", value), IsOk());
        EXPECT_EQ(Get(document, section, key), Get(normal, "s", "k"));
      } else if (what < 9) {
        document.Unset(section, key);
        EXPECT_EQ(document.Find(section, key), nullptr);
      } else {
        document.RemoveSection(section);
        EXPECT_FALSE(document.HasSection(section));
      }
      ExpectSameOnDisk(document);
      EXPECT_EQ(Get(document, "keep", "weird"), weird);
      if (!HasFailure())
        EXPECT_THAT(document.Text(), HasSubstr("weird  :   value \n   continued\n"));
      EXPECT_THAT(document.Text(), HasSubstr("# comment \t\n"));
    }
  }
}

TEST(DocumentTest, EveryPrefixOfAFileIsReadOrRefused) {
  std::string text =
      "\xEF\xBB\xBF# \xE2\x82\xAC\r\n[DEFAULT]\nnodes = n1\n  n2\n\n[app#1]\nstart: /bin/x\n";
  for (int i = 0; i < 25; ++i) {
    absl::StrAppend(&text, "\n[app#", i, "]\n; c\nKey@n", i,
                    " = v\n\t\xF0\x9F\x90\xA7 two\n\n   three\n");
  }
  for (size_t size = 0; size <= text.size(); ++size) {
    const absl::string_view prefix = absl::string_view(text).substr(0, size);
    const absl::StatusOr<Document> document = Document::Parse(prefix, "f");
    if (document.ok()) {
      ASSERT_EQ(document->Text(), prefix);
    } else {
      ASSERT_THAT(document, StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("f:")));
    }
  }
}

}  // namespace
}  // namespace om
