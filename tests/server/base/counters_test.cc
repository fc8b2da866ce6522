#include "server/base/counters.h"

#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace om {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

TEST(CountersTest, ANameIsOneCounter) {
  Counters counters;
  counters.Get("b")->Add(2);
  counters.Get("a")->Set(7);
  counters.Get("b")->Add();
  EXPECT_THAT(counters.Values(), ElementsAre(Pair("a", 7), Pair("b", 3)));
}

TEST(CountersTest, ThreadsLoseNothing) {
  Counters counters;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counters] {
      for (int n = 0; n < 10000; ++n) counters.Get("x")->Add();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counters.Get("x")->value(), 40000);
}

}  // namespace
}  // namespace om
