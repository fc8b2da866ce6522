#include "server/core/pass_scope.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/state/state_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/object_path.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PassScopeTest : public ::testing::Test {
 protected:
  PassScopeTest() {
    for (const char* name : {"a", "b", "c", "d"}) {
      Edit(name, [](ObjectState*) {});
    }
    std::set<ObjectPath> only;
    EXPECT_FALSE(scope_.Take(*store_.snapshot(), busy_, &only));  // The first one.
  }
  template <class Change>
  void Edit(const std::string& name, Change change) {
    store_.EditObject(Path(name), [&](ObjectState* object) {
      object->configs["n1"];
      object->instances["n1"];
      change(object);
    });
    scope_.Want(Path(name));
  }
  std::set<std::string> Take() {
    std::set<ObjectPath> only;
    EXPECT_TRUE(scope_.Take(*store_.snapshot(), busy_, &only));
    std::set<std::string> names;
    for (const ObjectPath& path : only) names.insert(path.ToString());
    return names;
  }

  FakeClock clock_;
  StateStore store_{&clock_, "n1", "run", ChangeFeed::Options()};
  std::set<ObjectPath> busy_;
  PassScope scope_{"n1"};
};

TEST_F(PassScopeTest, OnlyWhatChangedIsLookedAtAndOnlyOnce) {
  EXPECT_THAT(Take(), IsEmpty());
  scope_.Want(Path("b"));
  EXPECT_THAT(Take(), ElementsAre("b"));
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(PassScopeTest, EverythingIsLookedAtWhenThatIsWanted) {
  scope_.Want(Path("b"));
  scope_.WantAll();
  std::set<ObjectPath> only;
  EXPECT_FALSE(scope_.Take(*store_.snapshot(), busy_, &only));
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(PassScopeTest, RelationsAreFollowedInBothDirections) {
  Edit("a", [](ObjectState* object) { object->configs["n1"].parents = {"b@n2"}; });
  EXPECT_THAT(Take(), ElementsAre("a", "b"));
  scope_.Want(Path("b"));
  EXPECT_THAT(Take(), ElementsAre("a", "b"));
  scope_.Want(Path("a"));
  EXPECT_THAT(Take(), ElementsAre("a", "b"));
  // Also those of before a change.
  Edit("a", [](ObjectState* object) { object->configs["n1"].parents = {"c"}; });
  EXPECT_THAT(Take(), ElementsAre("a", "b", "c"));
  scope_.Want(Path("b"));
  EXPECT_THAT(Take(), ElementsAre("b"));
}

TEST_F(PassScopeTest, EveryKindOfRelationCounts) {
  using Names = std::vector<std::string> ObjectConfig::*;
  for (const Names names :
       {&ObjectConfig::children, &ObjectConfig::slaves, &ObjectConfig::scaler_slaves,
        &ObjectConfig::hard_affinity, &ObjectConfig::hard_anti_affinity,
        &ObjectConfig::soft_affinity, &ObjectConfig::soft_anti_affinity}) {
    Edit("a", [&](ObjectState* object) { object->configs["n1"].*names = {"d"}; });
    Take();
    scope_.Want(Path("d"));
    EXPECT_THAT(Take(), ElementsAre("a", "d"));
    Edit("a", [&](ObjectState* object) { (object->configs["n1"].*names).clear(); });
    Take();
  }
}

TEST_F(PassScopeTest, ASliceIsRelatedToItsScaler) {
  Edit("2.a", [](ObjectState*) {});
  EXPECT_THAT(Take(), ElementsAre("2.a", "a"));
  scope_.Want(Path("a"));
  EXPECT_THAT(Take(), ElementsAre("2.a", "a"));
}

TEST_F(PassScopeTest, WhatIsNotAtRestIsLookedAtEachTime) {
  Edit("a", [](ObjectState* object) { object->instances["n1"].monitor.status = "ready"; });
  Edit("b", [](ObjectState* object) {
    object->instances["n1"].monitor.global_expect = expect_word::kStopped;
  });
  Edit("c", [](ObjectState* object) { object->instances["n1"].monitor.status = "start failed"; });
  Edit("d", [](ObjectState* object) {
    object->instances["n1"].monitor.local_expect = expect_word::kStarted;
  });
  EXPECT_THAT(Take(), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(Take(), ElementsAre("a", "b"));
  Edit("a", [](ObjectState* object) { object->instances["n1"].monitor.status = "idle"; });
  store_.EraseObject(Path("b"));
  scope_.Want(Path("b"));
  EXPECT_THAT(Take(), ElementsAre("a", "b"));
  EXPECT_THAT(Take(), IsEmpty());
}

TEST_F(PassScopeTest, TheBeginAndTheEndOfACommandCount) {
  busy_.insert(Path("c"));
  EXPECT_THAT(Take(), ElementsAre("c"));
  EXPECT_THAT(Take(), IsEmpty());
  busy_.clear();
  EXPECT_THAT(Take(), ElementsAre("c"));
}

}  // namespace
}  // namespace om
