using FluentAssertions;
using MemSim.Recordings;
using Xunit;

namespace MemSim.Oracle.Tests.Slab;

/// <summary>Every kmalloc recorded inside the kernel, done again: what <c>ksize()</c> says and where the object comes from.</summary>
public class KmallocTests
{
    [Fact]
    public void Every_recorded_size_and_flag_is_served_by_the_same_cache_with_the_same_size()
    {
        ReplayResult result = KmallocReplay.RunFile(SlabRecords.DataFile("kmalloc.txt.gz"), "kmalloc");
        result.Mismatches.Should().BeEmpty();
        result.Counts.Should().OnlyContain(c => c.Matched == c.Total && c.Total > 290_000).And.HaveCount(2);
    }
}
