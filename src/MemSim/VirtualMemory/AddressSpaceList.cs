using System.Collections;

namespace MemSim.VirtualMemory;

/// <summary>The address spaces there are, in the order in which they were made (<c>mm_list</c>). One that goes leaves a gap, so that its end costs the same however many there are.</summary>
/// <remarks>Guarded by the lock of address spaces. Places stay what they are until another address space is made.</remarks>
internal sealed class AddressSpaceList : IEnumerable<MemoryDescriptor>
{
    private const int FewGaps = 64;

    private readonly List<MemoryDescriptor?> _places = [];
    private readonly Dictionary<MemoryDescriptor, int> _placeOf = new(ReferenceEqualityComparer.Instance);

    /// <summary>Places, gaps included: a loop over them by number goes on whatever happens to the address spaces meanwhile.</summary>
    public int Places => _places.Count;

    /// <summary>The address space at a place; null where it is gone.</summary>
    public MemoryDescriptor? At(int place) => _places[place];

    public void Add(MemoryDescriptor mm)
    {
        int gaps = _places.Count - _placeOf.Count;
        if (gaps > FewGaps && gaps > _placeOf.Count)
        {
            CloseGaps();
        }

        _placeOf.Add(mm, _places.Count);
        _places.Add(mm);
    }

    public void Remove(MemoryDescriptor mm)
    {
        if (_placeOf.Remove(mm, out int place))
        {
            _places[place] = null;
            while (_places.Count != 0 && _places[^1] is null)
            {
                _places.RemoveAt(_places.Count - 1);
            }
        }
    }

    public IEnumerator<MemoryDescriptor> GetEnumerator()
    {
        for (int i = 0; i < _places.Count; i++)
        {
            if (_places[i] is { } mm)
            {
                yield return mm;
            }
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private void CloseGaps()
    {
        _places.RemoveAll(mm => mm is null);
        for (int i = 0; i < _places.Count; i++)
        {
            _placeOf[_places[i]!] = i;
        }
    }
}
