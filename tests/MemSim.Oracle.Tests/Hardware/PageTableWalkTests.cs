using System.IO.Compression;
using System.Text.Json;
using FluentAssertions;
using Xunit;

namespace MemSim.Oracle.Tests.Hardware;

/// <summary>Page-table entries that a real kernel (6.1, x86-64, 512 MiB) had for addresses of every part of its address space.</summary>
public sealed class PageTableWalkTests
{
    private const ulong KernelImageStart = 0xffff_ffff_8000_0000;

    [Fact]
    public void Every_recorded_entry_is_decoded_and_comes_out_of_our_tables_again()
    {
        List<Recorded> walks = Read(out _);
        walks.Should().HaveCountGreaterThan(70);
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M"));
        Cpu cpu = machine.Cpus[0];
        PageTables kernel = machine.Mmu.Kernel;
        foreach (Recorded walk in walks.Where(w => !InDirectMap(machine, w.Address)).DistinctBy(w => w.Address))
        {
            walk.IsPresent.Should().BeTrue();
            MappingSize size = walk.Level switch { 1 => MappingSize.Page4K, 2 => MappingSize.Page2M, _ => MappingSize.Page1G };
            ulong mask = (1UL << (int)size) - 1;
            Pfn pfn = new PhysicalAddress(walk.Entry & 0x000f_ffff_ffff_f000 & ~mask).Pfn;
            PageProtection protection = Protection(walk.Entry);
            VirtualAddress start = new(walk.Address & ~mask);
            if (walk.What is "kernel_text" or "vmemmap")
            {
                // The boot has mapped it: to the same frame, with the same rights.
                kernel.Lookup(start).IsPresent.Should().BeTrue();
            }
            else
            {
                kernel.Map(cpu, start, pfn, 1L << ((int)size - 12), protection, size).Should().BeTrue();
            }

            kernel.Lookup(new VirtualAddress(walk.Address)).Should().Be(
                new PageTableEntry(walk.Level, walk.Level == 1 ? "pte" : "pmd", walk.Entry, true, pfn, 1L << ((int)size - 12), protection), walk.What);
            TranslationExplanation explanation = cpu.Mmu.Explain(new VirtualAddress(walk.Address));
            explanation.Steps.Should().HaveCount(5 - walk.Level);
            explanation.Steps[^1].Entry.Should().Be(walk.Entry);
        }

        machine.Verify();
    }

    [Fact]
    public void The_direct_map_has_the_frames_and_bits_of_the_real_one_where_nothing_was_changed_since_boot()
    {
        List<Recorded> walks = Read(out JsonElement levels);
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M"));
        PageTables kernel = machine.Mmu.Kernel;
        machine.Memory.DirectMapStart.Value.Should().Be(levels.GetProperty("page_offset").GetUInt64());
        int untouched = 0;
        int all = 0;
        foreach (Recorded walk in walks.Where(w => InDirectMap(machine, w.Address)))
        {
            all++;
            PageTableEntry ours = kernel.Lookup(new VirtualAddress(walk.Address));
            ours.IsPresent.Should().BeTrue();
            long offset = (long)(walk.Address & ((1UL << (12 + (9 * (ours.Level - 1)))) - 1)) >> 12;
            long recordedOffset = (long)(walk.Address & ((1UL << (12 + (9 * (walk.Level - 1)))) - 1)) >> 12;
            (ours.Frame.Value + offset).Should().Be((long)((walk.Entry & 0x000f_ffff_ffff_f000) >> 12) + recordedOffset, "{0:x}", walk.Address);

            // The kernel has made its own image read-only and split pages where it changed them since.
            if (ours.Level == walk.Level && (walk.Entry & 2) != 0)
            {
                ours.Raw.Should().Be(walk.Entry, "{0:x}", walk.Address);
                untouched++;
            }
        }

        all.Should().BeGreaterThan(60);
        untouched.Should().BeGreaterThan(35);
    }

    [Fact]
    public void Making_the_kernel_image_read_only_splits_and_marks_as_the_real_kernel_did()
    {
        List<Recorded> walks = Read(out _);
        using Machine machine = Machine.Boot(MachineSpec.X86_64("512M"));
        Cpu cpu = machine.Cpus[0];
        PageTables kernel = machine.Mmu.Kernel;
        foreach (Recorded walk in walks.Where(w => InDirectMap(machine, w.Address)))
        {
            ulong size = 1UL << (12 + (9 * (walk.Level - 1)));
            VirtualAddress start = new(walk.Address & ~(size - 1));
            kernel.Protect(cpu, start, (long)(size >> 12), Protection(walk.Entry)).Should().BeTrue();
            kernel.Lookup(new VirtualAddress(walk.Address)).Raw.Should().Be(walk.Entry, "{0:x}", walk.Address);
        }

        machine.Mmu.FlushAll(cpu);
        machine.Verify();
    }

    private static bool InDirectMap(Machine machine, ulong address) => address >= machine.Memory.DirectMapStart.Value && address < machine.Memory.DirectMapEnd.Value && address < KernelImageStart;

    private static PageProtection Protection(ulong entry) =>
        ((entry & 2) != 0 ? PageProtection.Write : 0) | ((entry & 4) != 0 ? PageProtection.User : 0) | ((entry & 8) != 0 ? PageProtection.WriteThrough : 0)
        | ((entry & 16) != 0 ? PageProtection.NoCache : 0) | ((entry & 32) != 0 ? PageProtection.Accessed : 0) | ((entry & 64) != 0 ? PageProtection.Dirty : 0)
        | ((entry & 256) != 0 ? PageProtection.Global : 0) | (entry >> 63 == 0 ? PageProtection.Execute : 0);

    private static List<Recorded> Read(out JsonElement levels)
    {
        levels = default;
        List<Recorded> walks = [];
        using GZipStream stream = new(File.OpenRead(Path.Combine(AppContext.BaseDirectory, "Data", "walk", "walk.jsonl.gz")), CompressionMode.Decompress);
        using StreamReader reader = new(stream);
        while (reader.ReadLine() is { } line)
        {
            JsonElement row = JsonDocument.Parse(line).RootElement;
            if (row.GetProperty("t").GetString() == "levels")
            {
                levels = row;
                continue;
            }

            walks.Add(new Recorded(row.GetProperty("what").GetString()!, row.GetProperty("addr").GetUInt64(), row.GetProperty("level").GetInt32(),
                row.GetProperty("entry").GetUInt64(), row.GetProperty("present").GetBoolean()));
        }

        return walks;
    }

    private sealed record Recorded(string What, ulong Address, int Level, ulong Entry, bool IsPresent);
}
