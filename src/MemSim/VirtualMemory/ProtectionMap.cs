using MemSim.Hardware;

namespace MemSim.VirtualMemory;

/// <summary>What the rights of an area are in entries (<c>protection_map</c>). Never changes.</summary>
internal sealed class ProtectionMap
{
    private readonly ulong[] _bits = new ulong[8];
    private readonly ulong _writable;

    public ProtectionMap(PteLayout layout, PageTables kernel)
    {
        for (int i = 0; i < 8; i++)
        {
            bool execute = (i & 4) != 0;
            ulong readable = kernel.MakeEntry(default, PageProtection.User | PageProtection.Accessed | (execute ? PageProtection.Execute : 0));
            _bits[i] = i == 0 ? layout.ProtNoneBits(readable) : readable;
        }

        _writable = layout.MakeWritable(_bits[2]) & ~_bits[2];
    }

    /// <summary>What entries of an area look like (<c>vm_get_page_prot()</c>): private areas never writable, so that the first write is noticed.</summary>
    public ulong Bits(VmaFlags flags, OpenFile? file)
    {
        bool shared = (flags & VmaFlags.Shared) != 0;
        bool write = shared && (flags & VmaFlags.Write) != 0 && ((flags & VmaFlags.PfnMap) != 0 || file is { Mapping.WritesBack: false });
        return _bits[(int)(flags & (VmaFlags.Read | VmaFlags.Write | VmaFlags.Exec))] | (write ? _writable : 0);
    }
}
