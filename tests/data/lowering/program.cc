// Says the same whatever it is linked against, and whichever of its symbols are lowered.
#include <cerrno>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <future>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <stdlib.h>
#include <string>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

struct Early {
    std::string text{"early"};
    Early() { std::cout << text << '\n'; }
    ~Early() { std::cout << "late\n"; }
} early;
static volatile double zero = 0, two = 2;

static void numbers() {
    std::cout.precision(17);
    std::cout << pow(two, 0.5) << ' ' << exp(two) << ' ' << log(two) << ' ' << hypot(two, two) << '\n';
    std::cout << log2(two) << ' ' << exp2(two) << ' ' << log(zero) << ' ' << (errno == ERANGE) << '\n';
}

static void files() {
    struct stat found;
    std::cout << (stat("/", &found) == 0 && S_ISDIR(found.st_mode)) << stat("/none", &found) << '\n';
    char bytes[9] = "";
    arc4random_buf(bytes, 8);
    std::cout << (std::string(bytes, 8) != std::string(8, 0)) << (arc4random() != arc4random()) << '\n';
    std::cout << (gettid() == getpid()) << (dlsym(RTLD_DEFAULT, "printf") != nullptr) << '\n';
}

static void folders() {
    namespace fs = std::filesystem;
    fs::path folder = fs::path(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp") / ("geowheel-" + std::to_string(getpid()));
    mkdir(folder.c_str(), 0700);
    std::ofstream(folder / "file") << "text";
    fs::path same = (folder / "none" / ".." / "." / "file").lexically_normal(), copy = same;
    int count = 0;
    for (const auto &entry : fs::directory_iterator(folder)) count += entry.path() == same;
    std::error_code error;
    bool recent = fs::last_write_time(same, error).time_since_epoch().count() != 0;
    std::cout << count << fs::is_regular_file(copy) << fs::exists(folder / "none", error) << recent << error.value();
    std::cout << (std::distance(copy.begin(), copy.end()) > 2) << ' ' << same.filename().string() << '\n';
    unlink(same.c_str());
    rmdir(folder.c_str());
}

static void threads() {
    std::mutex mutex;
    std::condition_variable there;
    std::vector<std::thread> all;
    int number = 0;
    for (int i = 0; i < 4; i++)
        all.emplace_back([&] {
            std::unique_lock<std::mutex> lock(mutex);
            number += 1 + int(__libc_single_threaded);
            there.notify_all();
        });
    std::unique_lock<std::mutex> lock(mutex);
    while (number < 4) there.wait(lock);
    auto before = std::chrono::steady_clock::now();
    bool came = there.wait_for(lock, std::chrono::milliseconds(30), [] { return false; });
    bool long_enough = std::chrono::steady_clock::now() - before >= std::chrono::milliseconds(30);
    std::cout << number << came << long_enough << '\n';
    lock.unlock();
    for (auto &each : all) each.join();
}

static void errors() {
    std::promise<int> promise;
    auto future = promise.get_future();
    std::thread other([&] {
        std::exception_ptr one = std::make_exception_ptr(std::runtime_error("told")), same = one;
        promise.set_exception(same);
    });
    try {
        future.get();
    } catch (std::runtime_error &error) {
        std::runtime_error moved(std::move(error));
        std::cout << moved.what() << '\n';
    }
    other.join();
    volatile long length = -1;
    try {
        delete[] new double[length];
    } catch (const std::bad_array_new_length &error) {
        std::cout << error.what() << '\n';
    }
}

int main(int count, char **arguments) {
    std::cout << count << (strlen(arguments[0]) > 0) << '\n';
    numbers();
    files();
    folders();
    threads();
    errors();
    std::ostringstream out;
    out << 1.25;
    std::stringstream both;
    both << out.str() << " x";
    double read;
    both >> read;
    std::cout << read << '\n';
}
